-- A role for dashboards and people: it reads the six views, and nothing else.
-- Run as an administrator or as the owner of the views, after the agent has made them:
--   psql --dbname=sightline --file=deploy/postgresql/readonly.sql
--   psql --dbname=sightline --command='\password sightline_viewer'
-- An upgrade makes the views anew and gives the same rights on them again; who could read all of them reads new
-- ones, too. The script may be run again. It stops at its first error, and then nothing of it has happened.

\set ON_ERROR_STOP on
BEGIN;

DO $$
DECLARE
    place text;
    name text;
    seen text[] := ARRAY[
        'inspection_history', 'hourly_yield', 'sku_quality', 'defect_pareto', 'defects', 'events'
    ];
BEGIN
    SELECT schemaname INTO STRICT place FROM pg_views WHERE viewname = 'inspection_history';
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sightline_viewer') THEN
        CREATE ROLE sightline_viewer;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO sightline_viewer', current_database());
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO sightline_viewer', place);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM sightline_viewer', place);
    FOREACH name IN ARRAY seen LOOP
        EXECUTE format('GRANT SELECT ON %I.%I TO sightline_viewer', place, name);
    END LOOP;
    EXECUTE format('REVOKE TEMPORARY, CREATE ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', place);
    -- So that people write the names of the views alone.
    EXECUTE format(
        'ALTER ROLE sightline_viewer IN DATABASE %I SET search_path = %I', current_database(), place
    );
EXCEPTION
    WHEN NO_DATA_FOUND THEN
        RAISE EXCEPTION 'this database has no views of Sightline yet; start the agent, or run sightline db upgrade';
    WHEN TOO_MANY_ROWS THEN
        RAISE EXCEPTION 'several schemas of this database hold views of Sightline; grant by hand';
END
$$;

ALTER ROLE sightline_viewer LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
-- The views refuse writing anyway; this refuses it earlier, and a forgotten query ends by itself.
ALTER ROLE sightline_viewer SET default_transaction_read_only = on;
ALTER ROLE sightline_viewer SET statement_timeout = '60s';
ALTER ROLE sightline_viewer SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE sightline_viewer CONNECTION LIMIT 10;

COMMIT;
