-- The agent's role: it owns a schema of its own in one database, and may do nothing else on the server.
-- Run once as an administrator, in the database of the history:
--   psql --dbname=sightline --file=deploy/postgresql/agent.sql
--   psql --dbname=sightline --command='\password sightline_agent'
-- It may be run again. It stops at its first error, and then nothing of it has happened.

\set ON_ERROR_STOP on
BEGIN;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sightline_agent') THEN
        CREATE ROLE sightline_agent;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO sightline_agent', current_database());
    -- Without this anybody with an account may make tables of their own here.
    EXECUTE format('REVOKE TEMPORARY, CREATE ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

ALTER ROLE sightline_agent LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- Tables are made in the schema of the role's own name ("$user" comes first in search_path).
CREATE SCHEMA IF NOT EXISTS sightline_agent AUTHORIZATION sightline_agent;

COMMIT;
