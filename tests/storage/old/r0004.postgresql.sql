CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.calibration (
    recipe_id bigint NOT NULL,
    threshold double precision NOT NULL,
    review_below double precision NOT NULL,
    samples integer NOT NULL,
    false_alarm_rate double precision NOT NULL,
    source text NOT NULL,
    map_threshold double precision,
    scorer text,
    log_mean double precision,
    log_deviation double precision
);
CREATE TABLE public.defect (
    inspection_id character varying NOT NULL COLLATE pg_catalog."C",
    defect_index integer NOT NULL,
    label text NOT NULL,
    score double precision NOT NULL,
    bbox_x integer NOT NULL,
    bbox_y integer NOT NULL,
    bbox_width integer NOT NULL,
    bbox_height integer NOT NULL,
    area_px integer NOT NULL,
    area_fraction double precision NOT NULL
);
CREATE TABLE public.feedback (
    id bigint NOT NULL,
    inspection_id character varying NOT NULL COLLATE pg_catalog."C",
    truth character varying(16) NOT NULL,
    given_at timestamp with time zone NOT NULL,
    given_by text,
    note text,
    CONSTRAINT ck_feedback_truth CHECK (((truth)::text = ANY (ARRAY[('good'::character varying)::text, ('defective'::character varying)::text])))
);
CREATE TABLE public.inspection (
    inspection_id character varying NOT NULL COLLATE pg_catalog."C",
    site character varying NOT NULL COLLATE pg_catalog."C",
    line character varying NOT NULL COLLATE pg_catalog."C",
    camera character varying NOT NULL COLLATE pg_catalog."C",
    frame_id character varying NOT NULL COLLATE pg_catalog."C",
    content_derived boolean NOT NULL,
    part_id character varying COLLATE pg_catalog."C",
    sku character varying COLLATE pg_catalog."C",
    verdict character varying(8) NOT NULL,
    reason text NOT NULL,
    score double precision,
    threshold double precision,
    threshold_source text,
    calibration_samples integer,
    calibrated boolean NOT NULL,
    shadow boolean NOT NULL,
    late boolean NOT NULL,
    recipe_id bigint,
    recipe_version integer,
    method text,
    prompt_source text,
    shots integer,
    model_digest text,
    queue_ms double precision,
    decode_ms double precision,
    infer_ms double precision,
    record_ms double precision,
    image_path character varying COLLATE pg_catalog."C",
    mask_path character varying COLLATE pg_catalog."C",
    overlay_path character varying COLLATE pg_catalog."C",
    width integer,
    height integer,
    captured_at timestamp with time zone,
    received_at timestamp with time zone NOT NULL,
    inspected_at timestamp with time zone NOT NULL,
    agent_id text NOT NULL,
    agent_version text NOT NULL,
    sequence bigint,
    CONSTRAINT ck_inspection_verdict CHECK (((verdict)::text = ANY (ARRAY[('PASS'::character varying)::text, ('FAIL'::character varying)::text, ('REVIEW'::character varying)::text, ('ERROR'::character varying)::text, ('SKIPPED'::character varying)::text])))
);
CREATE VIEW public.defect_pareto AS
 SELECT counted.sku,
    counted.label,
    counted.defects,
    counted.inspections,
    counted.rank,
    ((counted.defects)::double precision / (sum(counted.defects) OVER whole)::double precision) AS share,
    ((sum(counted.defects) OVER so_far)::double precision / (sum(counted.defects) OVER whole)::double precision) AS cumulative_share
   FROM ( SELECT i.sku,
            d.label,
            count(*) AS defects,
            count(DISTINCT d.inspection_id) AS inspections,
            row_number() OVER (PARTITION BY i.sku ORDER BY (count(*)) DESC, d.label) AS rank
           FROM ((public.defect d
             JOIN public.inspection i ON (((i.inspection_id)::text = (d.inspection_id)::text)))
             LEFT JOIN ( SELECT feedback.inspection_id,
                    feedback.truth,
                    feedback.given_by,
                    feedback.note,
                    feedback.given_at,
                    row_number() OVER (PARTITION BY feedback.inspection_id ORDER BY feedback.given_at DESC, feedback.id DESC) AS recency
                   FROM public.feedback) f ON ((((f.inspection_id)::text = (i.inspection_id)::text) AND (f.recency = 1))))
          WHERE (((f.truth)::text = 'defective'::text) OR ((f.truth IS NULL) AND ((i.verdict)::text = 'FAIL'::text)))
          GROUP BY i.sku, d.label) counted
  WINDOW whole AS (PARTITION BY counted.sku), so_far AS (PARTITION BY counted.sku ORDER BY counted.rank ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);
CREATE TABLE public.event (
    id bigint NOT NULL,
    kind text NOT NULL,
    severity character varying(8) NOT NULL,
    message text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    camera text,
    sku text,
    details json NOT NULL,
    agent_id text NOT NULL,
    agent_version text NOT NULL,
    CONSTRAINT ck_event_severity CHECK (((severity)::text = ANY (ARRAY[('info'::character varying)::text, ('warning'::character varying)::text, ('error'::character varying)::text])))
);
CREATE SEQUENCE public.event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.event_id_seq OWNED BY public.event.id;
CREATE SEQUENCE public.feedback_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.feedback_id_seq OWNED BY public.feedback.id;
CREATE VIEW public.hourly_yield AS
 SELECT date_trunc('hour'::text, inspection.received_at, 'UTC'::text) AS hour,
    inspection.site,
    inspection.line,
    inspection.camera,
    inspection.sku,
    inspection.shadow,
    count(*) AS inspections,
    count(*) FILTER (WHERE ((inspection.verdict)::text = 'PASS'::text)) AS passed,
    count(*) FILTER (WHERE ((inspection.verdict)::text = 'FAIL'::text)) AS failed,
    count(*) FILTER (WHERE ((inspection.verdict)::text = 'REVIEW'::text)) AS review,
    count(*) FILTER (WHERE ((inspection.verdict)::text = 'ERROR'::text)) AS errors,
    count(*) FILTER (WHERE ((inspection.verdict)::text = 'SKIPPED'::text)) AS skipped,
    ((count(*) FILTER (WHERE ((inspection.verdict)::text = 'PASS'::text)))::double precision / (NULLIF(count(*) FILTER (WHERE ((inspection.verdict)::text = ANY ((ARRAY['PASS'::character varying, 'FAIL'::character varying])::text[]))), 0))::double precision) AS yield
   FROM public.inspection
  GROUP BY (date_trunc('hour'::text, inspection.received_at, 'UTC'::text)), inspection.site, inspection.line, inspection.camera, inspection.sku, inspection.shadow;
CREATE VIEW public.inspection_history AS
 SELECT i.inspection_id,
    i.site,
    i.line,
    i.camera,
    i.frame_id,
    i.part_id,
    i.sequence,
    i.sku,
    i.verdict,
    i.reason,
    i.score,
    i.threshold,
    i.threshold_source,
    i.calibration_samples,
    i.calibrated,
    i.shadow,
    i.late,
    i.recipe_id,
    i.recipe_version,
    i.method,
    i.prompt_source,
    i.shots,
    i.model_digest,
    ( SELECT count(*) AS count
           FROM public.defect d
          WHERE ((d.inspection_id)::text = (i.inspection_id)::text)) AS defects,
    ( SELECT string_agg(d.label, ', '::text ORDER BY d.defect_index) AS string_agg
           FROM public.defect d
          WHERE ((d.inspection_id)::text = (i.inspection_id)::text)) AS defect_labels,
    f.truth,
    f.given_by AS truth_by,
    f.note AS truth_note,
    f.given_at AS truth_at,
    i.captured_at,
    i.received_at,
    i.inspected_at,
    i.queue_ms,
    i.decode_ms,
    i.infer_ms,
    i.record_ms,
    i.width,
    i.height,
    i.image_path,
    i.mask_path,
    i.overlay_path,
    i.agent_id,
    i.agent_version
   FROM (public.inspection i
     LEFT JOIN ( SELECT feedback.inspection_id,
            feedback.truth,
            feedback.given_by,
            feedback.note,
            feedback.given_at,
            row_number() OVER (PARTITION BY feedback.inspection_id ORDER BY feedback.given_at DESC, feedback.id DESC) AS recency
           FROM public.feedback) f ON ((((f.inspection_id)::text = (i.inspection_id)::text) AND (f.recency = 1))));
CREATE TABLE public.onboarding (
    sku character varying NOT NULL COLLATE pg_catalog."C",
    state character varying(8) NOT NULL,
    claimed_by text,
    claimed_until timestamp with time zone,
    attempts integer NOT NULL,
    next_attempt_at timestamp with time zone,
    reason text,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_onboarding_claim CHECK ((((state)::text <> 'claimed'::text) OR ((claimed_by IS NOT NULL) AND (claimed_until IS NOT NULL)))),
    CONSTRAINT ck_onboarding_state CHECK (((state)::text = ANY (ARRAY[('waiting'::character varying)::text, ('claimed'::character varying)::text, ('done'::character varying)::text, ('failed'::character varying)::text])))
);
CREATE TABLE public.outbox (
    id bigint NOT NULL,
    agent_id text NOT NULL,
    inspection_id character varying NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    destination text NOT NULL,
    payload bytea,
    content_type text NOT NULL,
    retain boolean NOT NULL,
    correlation_data bytea,
    created_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    sink text DEFAULT 'mqtt'::text NOT NULL,
    CONSTRAINT ck_outbox_payload CHECK (((payload IS NOT NULL) OR (sent_at IS NOT NULL)))
);
CREATE SEQUENCE public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.outbox_id_seq OWNED BY public.outbox.id;
CREATE TABLE public.prompt_set (
    id bigint NOT NULL,
    digest character varying(64) NOT NULL,
    identity character varying(64) NOT NULL,
    normal json NOT NULL,
    anomalous json NOT NULL,
    defects json NOT NULL,
    source character varying(16) NOT NULL,
    provenance json NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_prompt_set_source CHECK (((source)::text = ANY (ARRAY[('template'::character varying)::text, ('ollama'::character varying)::text, ('manual'::character varying)::text])))
);
CREATE SEQUENCE public.prompt_set_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.prompt_set_id_seq OWNED BY public.prompt_set.id;
CREATE TABLE public.recipe (
    id bigint NOT NULL,
    sku character varying NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    noun text NOT NULL,
    method text NOT NULL,
    parameters json NOT NULL,
    prompt_set_id bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    origin character varying(16) DEFAULT 'template'::character varying NOT NULL,
    note text,
    parent_version integer,
    prompt_selection json,
    margin double precision,
    CONSTRAINT ck_recipe_version CHECK ((version >= 1))
);
CREATE SEQUENCE public.recipe_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.recipe_id_seq OWNED BY public.recipe.id;
CREATE TABLE public.reference (
    id bigint NOT NULL,
    sku character varying NOT NULL COLLATE pg_catalog."C",
    recipe_id bigint,
    "position" integer,
    sha256 character varying(64) NOT NULL,
    path character varying NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT ck_reference_position CHECK (((recipe_id IS NULL) = ("position" IS NULL)))
);
CREATE SEQUENCE public.reference_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.reference_id_seq OWNED BY public.reference.id;
CREATE TABLE public.sku (
    sku character varying NOT NULL COLLATE pg_catalog."C",
    name text,
    description text,
    gtin text,
    lot text,
    active_version integer,
    registered_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE VIEW public.sku_quality AS
 SELECT i.sku,
    i.recipe_version,
    count(*) AS inspections,
    count(*) FILTER (WHERE ((i.verdict)::text = 'PASS'::text)) AS passed,
    count(*) FILTER (WHERE ((i.verdict)::text = 'FAIL'::text)) AS failed,
    count(*) FILTER (WHERE ((i.verdict)::text = 'REVIEW'::text)) AS review,
    count(*) FILTER (WHERE ((i.verdict)::text = 'ERROR'::text)) AS errors,
    count(*) FILTER (WHERE ((i.verdict)::text = 'SKIPPED'::text)) AS skipped,
    count(f.truth) AS feedback,
    count(*) FILTER (WHERE ((f.truth)::text = 'good'::text)) AS truth_good,
    count(*) FILTER (WHERE ((f.truth)::text = 'defective'::text)) AS truth_defective,
    count(*) FILTER (WHERE (((f.truth)::text = 'good'::text) AND ((i.verdict)::text = 'FAIL'::text))) AS false_alarms,
    count(*) FILTER (WHERE (((f.truth)::text = 'defective'::text) AND ((i.verdict)::text = 'PASS'::text))) AS escapes,
    ((count(*) FILTER (WHERE (((f.truth)::text = 'good'::text) AND ((i.verdict)::text = 'FAIL'::text))))::double precision / (NULLIF(count(*) FILTER (WHERE ((f.truth)::text = 'good'::text)), 0))::double precision) AS false_alarm_rate,
    ((count(*) FILTER (WHERE (((f.truth)::text = 'defective'::text) AND ((i.verdict)::text = 'PASS'::text))))::double precision / (NULLIF(count(*) FILTER (WHERE ((f.truth)::text = 'defective'::text)), 0))::double precision) AS escape_rate
   FROM (public.inspection i
     LEFT JOIN ( SELECT feedback.inspection_id,
            feedback.truth,
            feedback.given_by,
            feedback.note,
            feedback.given_at,
            row_number() OVER (PARTITION BY feedback.inspection_id ORDER BY feedback.given_at DESC, feedback.id DESC) AS recency
           FROM public.feedback) f ON ((((f.inspection_id)::text = (i.inspection_id)::text) AND (f.recency = 1))))
  GROUP BY i.sku, i.recipe_version;
ALTER TABLE ONLY public.event ALTER COLUMN id SET DEFAULT nextval('public.event_id_seq'::regclass);
ALTER TABLE ONLY public.feedback ALTER COLUMN id SET DEFAULT nextval('public.feedback_id_seq'::regclass);
ALTER TABLE ONLY public.outbox ALTER COLUMN id SET DEFAULT nextval('public.outbox_id_seq'::regclass);
ALTER TABLE ONLY public.prompt_set ALTER COLUMN id SET DEFAULT nextval('public.prompt_set_id_seq'::regclass);
ALTER TABLE ONLY public.recipe ALTER COLUMN id SET DEFAULT nextval('public.recipe_id_seq'::regclass);
ALTER TABLE ONLY public.reference ALTER COLUMN id SET DEFAULT nextval('public.reference_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0004');
INSERT INTO public.calibration VALUES (1, 0.5, 0.4, 16, 0.01, 'leave-one-out of 16 references', 0.45, 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff', NULL, NULL);
INSERT INTO public.calibration VALUES (3, 0.5, 0.4, 16, 0.01, 'leave-one-out of 16 references', 0.45, 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff', NULL, NULL);
INSERT INTO public.defect VALUES ('0190-full', 1, 'scratch', 0.75, 10, 20, 30, 40, 900, 0.0029296875);
INSERT INTO public.defect VALUES ('0190-full', 2, 'dent', 0.75, 400, 300, 40, 30, 1200, 0.00390625);
INSERT INTO public.event VALUES (1, 'job', 'info', 'line 1 now runs bolt', '2026-11-20 17:30:00+05:30', 'factory/line-1/cam-a', 'bolt', '{"n": 1}', 'cell-7', '0.1.0');
INSERT INTO public.event VALUES (2, 'burst', 'error', '5 of the last 10 frames of bolt on factory/line-1/cam-a failed; look at the line', '2026-11-20 17:30:00.25+05:30', 'factory/line-1/cam-a', 'bolt', '{"fails": 5, "frames": 10}', 'cell-7', '0.1.0');
INSERT INTO public.event VALUES (3, 'prompt-selection', 'info', 'the words of revision 0004', '2026-11-20 17:30:00+05:30', NULL, NULL, '{}', 'cell-7', '0.1.0');
INSERT INTO public.feedback VALUES (1, '0190-full', 'good', '2026-11-20 18:30:00+05:30', 'Ada', NULL);
INSERT INTO public.feedback VALUES (2, 'i:factory/line-1/cam-a:f-1', 'defective', '2026-11-20 19:30:00+05:30', NULL, 'scratched');
INSERT INTO public.inspection VALUES ('i:factory/line-1/cam-a:f-2', 'factory', 'line-1', 'cam-a', 'f-2', false, NULL, 'nut', 'REVIEW', 'a reason', NULL, NULL, NULL, NULL, false, false, false, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-20 17:31:00+05:30', '2026-11-20 17:31:00+05:30', 'cell-7', '0.1.0', NULL);
INSERT INTO public.inspection VALUES ('i:factory/line-1/cam-a:f-1', 'factory', 'line-1', 'cam-a', 'f-1', false, NULL, 'bolt', 'PASS', 'a reason', 0.3, 0.5, NULL, NULL, false, false, false, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, '13/7c/137c4f07a829457ca8437f9b0f9d672e4e502ca19ebeaafa2f1195ce98dd47fa.jpg', NULL, NULL, NULL, NULL, NULL, '2026-11-20 17:30:00+05:30', '2026-11-20 17:30:00+05:30', 'cell-7', '0.1.0', NULL);
INSERT INTO public.inspection VALUES ('0190-full', 'factory', 'line-1', 'cam-a', 'f-full', true, 'part-9', 'bolt', 'FAIL', 'score 0.9 is above the threshold 0.5', 0.9, 0.5, 'leave-one-out of 16 references', 16, true, false, true, 1, 1, 'sightline', 'ollama', 2, 'abababababababababababababababababababababababababababababababab', 1.5, 2.5, 3.5, 4.5, '51/20/5120151edb4587b93a8c92d82eb17665739994bd07c4d388bf927c3dca06aee0.jpg', 'bc/30/bc30455ab6a335ef93355cebd24a72860449a091a7be9a82b82c6cf91031e300.png', 'cd/82/cd82a8a0b8d6af88e901a561402387aacaaebb2b2ebd3b0ac68340eab3f4085a.jpg', 640, 480, '2026-11-20 17:29:58+05:30', '2026-11-20 17:30:00+05:30', '2026-11-20 17:30:00.25+05:30', 'cell-7', '0.1.0', NULL);
INSERT INTO public.inspection VALUES ('i:factory/line-1/cam-a:f-4', 'factory', 'line-1', 'cam-a', 'f-4', false, NULL, 'bolt', 'PASS', 'a reason', NULL, NULL, NULL, NULL, false, false, false, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-20 17:30:00+05:30', '2026-11-20 17:30:00+05:30', 'cell-7', '0.1.0', NULL);
INSERT INTO public.onboarding VALUES ('nut', 'claimed', 'cell-7', '2026-11-20 17:31:00+05:30', 1, NULL, NULL, '2026-11-20 17:30:00+05:30');
INSERT INTO public.outbox VALUES (1, 'cell-7', 'i:factory/line-1/cam-a:f-2', 'verdict', 'factory/line-1/cam-a/verdict', NULL, 'application/json', false, NULL, '2026-11-29 06:53:14.152038+05:30', '2026-11-29 06:53:14.165223+05:30', 'mqtt');
INSERT INTO public.outbox VALUES (2, 'cell-7', 'i:factory/line-1/cam-a:f-1', 'verdict', 'factory/line-1/cam-a/verdict', '\x7b22736368656d61223a2273696768746c696e652e766572646963742f31222c22696e7370656374696f6e5f6964223a22693a666163746f72792f6c696e652d312f63616d2d613a662d31222c226672616d655f6964223a22662d31222c22706172745f6964223a6e756c6c2c2273697465223a22666163746f7279222c226c696e65223a226c696e652d31222c2263616d657261223a2263616d2d61222c22736b75223a22626f6c74222c2276657264696374223a2250415353222c2273636f7265223a302e332c227468726573686f6c64223a302e352c2263616c69627261746564223a66616c73652c22736861646f77223a66616c73652c226c617465223a66616c73652c22726561736f6e223a226120726561736f6e222c2264656665637473223a5b5d2c22726563697065223a6e756c6c2c2274696d696e67735f6d73223a7b227175657565223a302e302c226465636f6465223a302e302c22696e666572223a302e302c227265636f7264223a302e307d2c2263617074757265645f6174223a6e756c6c2c2272656365697665645f6174223a22323032362d31312d32305431323a30303a30302e3030305a222c22696e737065637465645f6174223a22323032362d31312d32305431323a30303a30302e3030305a222c226d65646961223a7b22696d616765223a2231332f37632f313337633466303761383239343537636138343337663962306639643637326534653530326361313965626561616661326631313935636539386464343766612e6a7067222c226d61736b223a6e756c6c2c226f7665726c6179223a6e756c6c7d2c226167656e74223a7b226964223a2263656c6c2d37222c2276657273696f6e223a22302e312e30227d7d', 'application/json', false, NULL, '2026-11-29 06:53:14.184634+05:30', NULL, 'mqtt');
INSERT INTO public.outbox VALUES (3, 'cell-7', 'i:factory/line-1/cam-a:f-1', 'verdict', 'plc/answers/cam-a', '\x7b22736368656d61223a2273696768746c696e652e766572646963742f31222c22696e7370656374696f6e5f6964223a22693a666163746f72792f6c696e652d312f63616d2d613a662d31222c226672616d655f6964223a22662d31222c22706172745f6964223a6e756c6c2c2273697465223a22666163746f7279222c226c696e65223a226c696e652d31222c2263616d657261223a2263616d2d61222c22736b75223a22626f6c74222c2276657264696374223a2250415353222c2273636f7265223a302e332c227468726573686f6c64223a302e352c2263616c69627261746564223a66616c73652c22736861646f77223a66616c73652c226c617465223a66616c73652c22726561736f6e223a226120726561736f6e222c2264656665637473223a5b5d2c22726563697065223a6e756c6c2c2274696d696e67735f6d73223a7b227175657565223a302e302c226465636f6465223a302e302c22696e666572223a302e302c227265636f7264223a302e307d2c2263617074757265645f6174223a6e756c6c2c2272656365697665645f6174223a22323032362d31312d32305431323a30303a30302e3030305a222c22696e737065637465645f6174223a22323032362d31312d32305431323a30303a30302e3030305a222c226d65646961223a7b22696d616765223a2231332f37632f313337633466303761383239343537636138343337663962306639643637326534653530326361313965626561616661326631313935636539386464343766612e6a7067222c226d61736b223a6e756c6c2c226f7665726c6179223a6e756c6c7d2c226167656e74223a7b226964223a2263656c6c2d37222c2276657273696f6e223a22302e312e30227d7d', 'application/json', false, '\x0001726571756573742d31', '2026-11-29 06:53:14.184634+05:30', NULL, 'mqtt');
INSERT INTO public.outbox VALUES (4, 'cell-7', '0190-full', 'verdict', 'factory/line-1/cam-a/verdict', '\x7b22736368656d61223a2273696768746c696e652e766572646963742f31222c22696e7370656374696f6e5f6964223a22303139302d66756c6c222c226672616d655f6964223a22662d66756c6c222c22706172745f6964223a22706172742d39222c2273697465223a22666163746f7279222c226c696e65223a226c696e652d31222c2263616d657261223a2263616d2d61222c22736b75223a22626f6c74222c2276657264696374223a224641494c222c2273636f7265223a302e392c227468726573686f6c64223a302e352c2263616c69627261746564223a747275652c22736861646f77223a66616c73652c226c617465223a747275652c22726561736f6e223a2273636f726520302e392069732061626f766520746865207468726573686f6c6420302e35222c2264656665637473223a5b7b22696e646578223a312c226c6162656c223a2273637261746368222c2273636f7265223a302e37352c2262626f78223a5b31302c32302c33302c34305d2c22617265615f7078223a3930302c22617265615f6672616374696f6e223a302e303032393239363837357d2c7b22696e646578223a322c226c6162656c223a2264656e74222c2273636f7265223a302e37352c2262626f78223a5b3430302c3330302c34302c33305d2c22617265615f7078223a313230302c22617265615f6672616374696f6e223a302e30303339303632357d5d2c22726563697065223a7b226964223a312c2276657273696f6e223a312c226d6574686f64223a2273696768746c696e65222c2270726f6d70745f736f75726365223a226f6c6c616d61222c2273686f7473223a327d2c2274696d696e67735f6d73223a7b227175657565223a312e352c226465636f6465223a322e352c22696e666572223a332e352c227265636f7264223a342e357d2c2263617074757265645f6174223a22323032362d31312d32305431313a35393a35382e3030305a222c2272656365697665645f6174223a22323032362d31312d32305431323a30303a30302e3030305a222c22696e737065637465645f6174223a22323032362d31312d32305431323a30303a30302e3235305a222c226d65646961223a7b22696d616765223a2235312f32302f353132303135316564623435383762393361386339326438326562313736363537333939393462643037633464333838626639323763336463613036616565302e6a7067222c226d61736b223a2262632f33302f626333303435356162366133333565663933333535636562643234613732383630343439613039316137626539613832623832633663663931303331653330302e706e67222c226f7665726c6179223a2263642f38322f636438326138613062386436616638386539303161353631343032333837616163616165626232623265626433623061633638333430656162336634303835612e6a7067227d2c226167656e74223a7b226964223a2263656c6c2d37222c2276657273696f6e223a22302e312e30227d7d', 'application/json', false, NULL, '2026-11-29 06:53:14.23437+05:30', NULL, 'mqtt');
INSERT INTO public.outbox VALUES (5, 'cell-7', '0190-full', 'mask', 'factory/line-1/cam-a/mask', '\x7b22696e7370656374696f6e5f6964223a22303139302d66756c6c222c226672616d655f6964223a22662d66756c6c222c227769647468223a3634302c22686569676874223a3438302c22706e67223a226956424f5277304b47676f414141414e5355684555674141416f4141414148674341414141414151756f4d344141414237456c4551565234587533624d5172444d4251465164766b2f6b644f30726e344f4f41693865497755346e5843525a3157685941414141414141414141414141414144755a6a3038486e6a4e416235676d774e635359436b4245684b674b51455345714170415249536f436b4245684b674b51455345714170415249536f436b4245684b674b51455345714170415249366a47486e553867584d414c5345714170415249536f436b4245684b674b51455345714170415249536f436b4245684b674b51455345714170415249536f436b4245684b674b5145434141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141444158316a6e51477562777766504f647a5532667643547769516c41424a435a435541456b4a6b4a514153516d516c41424a435a435541456b4a6b4a514153516d516c41424a435a435541456b4a6b4a514153516d516c41424a435a435541456b4a6b4a514153516d516c41424a435a435541414541414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414141414f43304e3339334134775133584b394141414141456c46546b5375516d4343227d', 'application/json', false, NULL, '2026-11-29 06:53:14.23437+05:30', NULL, 'mqtt');
INSERT INTO public.outbox VALUES (6, 'cell-7', '0190-full', 'alert', 'factory/line-1/cam-a/alert', '\x7b22736368656d61223a2273696768746c696e652e616c6572742f31222c226b696e64223a226661696c222c227365766572697479223a226572726f72222c2263616d657261223a22666163746f72792f6c696e652d312f63616d2d61222c22736b75223a22626f6c74222c22696e7370656374696f6e5f6964223a22303139302d66756c6c222c2276657264696374223a224641494c222c2273636f7265223a302e392c227468726573686f6c64223a302e352c2264656665637473223a5b7b22696e646578223a312c226c6162656c223a2273637261746368222c2273636f7265223a302e37352c2262626f78223a5b31302c32302c33302c34305d2c22617265615f7078223a3930302c22617265615f6672616374696f6e223a302e303032393239363837357d2c7b22696e646578223a322c226c6162656c223a2264656e74222c2273636f7265223a302e37352c2262626f78223a5b3430302c3330302c34302c33305d2c22617265615f7078223a313230302c22617265615f6672616374696f6e223a302e30303339303632357d5d2c22726561736f6e223a2273636f726520302e392069732061626f766520746865207468726573686f6c6420302e35222c226174223a22323032362d31312d32305431323a30303a30302e3235305a227d', 'application/json', false, NULL, '2026-11-29 06:53:14.23437+05:30', NULL, 'mqtt');
INSERT INTO public.outbox VALUES (7, 'cell-7', '', 'alert', 'factory/line-1/cam-a/alert', '\x7b22736368656d61223a2273696768746c696e652e616c6572742f31222c226b696e64223a226275727374222c227365766572697479223a226572726f72222c2263616d657261223a22666163746f72792f6c696e652d312f63616d2d61222c22736b75223a22626f6c74222c22696e7370656374696f6e5f6964223a6e756c6c2c2276657264696374223a6e756c6c2c2273636f7265223a6e756c6c2c227468726573686f6c64223a6e756c6c2c2264656665637473223a5b5d2c22726561736f6e223a2235206f6620746865206c617374203130206672616d6573206f6620626f6c74206f6e20666163746f72792f6c696e652d312f63616d2d61206661696c65643b206c6f6f6b20617420746865206c696e65222c226174223a22323032362d31312d32305431323a30303a30302e3235305a227d', 'application/json', false, NULL, '2026-11-29 06:53:14.245012+05:30', NULL, 'mqtt');
INSERT INTO public.outbox VALUES (8, 'cell-7', 'i:factory/line-1/cam-a:f-4', 'verdict', 'factory/line-1/cam-a/verdict', '\x662d34', 'application/json', false, NULL, '2026-11-29 12:20:38.240562+05:30', NULL, 'mqtt');
INSERT INTO public.outbox VALUES (9, 'cell-7', 'i:factory/line-1/cam-a:f-4', 'verdict', 'https://mes.example/hook', '\x7b7d', 'application/json', false, NULL, '2026-11-29 12:20:38.240562+05:30', NULL, 'webhook:mes');
INSERT INTO public.prompt_set VALUES (1, '0d416d45fa61028861e53f7011f0a45495a7cbf1a2aed722aba067a7f99f0e01', 'b4f58107c0e54afc91476b9962c971931427d75742a84f606534d6c707568f33', '["a flawless bolt"]', '["a broken bolt"]', '[{"name": "stripped thread", "phrases": ["a stripped thread", "a worn thread"], "severity": ""}]', 'ollama', '{"model": "qwen2.5:7b-instruct", "seed": "1"}', '2026-11-29 06:53:14.046289+05:30');
INSERT INTO public.recipe VALUES (2, 'bolt', 2, 'hex bolt', 'sightline', '{"size": 240, "weight": 0.5, "exact": 1.0, "depths": [1, 2], "aligned": true}', 1, '2026-11-29 06:53:14.078245+05:30', 'template', 'by hand', 1, NULL, NULL);
INSERT INTO public.recipe VALUES (1, 'bolt', 1, 'hex bolt', 'sightline', '{"size": 240, "weight": 0.5, "exact": 1.0, "depths": [1, 2], "aligned": true}', 1, '2026-11-29 06:53:14.046289+05:30', 'enrollment', NULL, NULL, NULL, NULL);
INSERT INTO public.recipe VALUES (3, 'bolt', 3, 'hex bolt', 'winclip', '{"size": 240, "weight": 0.5, "exact": 1.0, "depths": [1, 2], "aligned": true}', 1, '2026-11-29 06:53:14.094149+05:30', 'enrollment', NULL, NULL, NULL, NULL);
INSERT INTO public.reference VALUES (1, 'bolt', 1, 0, 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', 'cd/cd/x.png', 'good-1.png', '2026-11-29 06:53:14.046289+05:30');
INSERT INTO public.reference VALUES (2, 'bolt', 1, 1, 'efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef', 'ef/ef/y.png', '2', '2026-11-29 06:53:14.046289+05:30');
INSERT INTO public.reference VALUES (3, 'bolt', 3, 0, 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', 'cd/cd/x.png', 'good-1.png', '2026-11-29 06:53:14.094149+05:30');
INSERT INTO public.reference VALUES (4, 'bolt', 3, 1, 'efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef', 'ef/ef/y.png', '2', '2026-11-29 06:53:14.094149+05:30');
INSERT INTO public.reference VALUES (5, 'nut', NULL, NULL, 'd932c6745983abb21b314357614581389c32713b7771b83f202716d94b15f50a', 'd9/32/d932c6745983abb21b314357614581389c32713b7771b83f202716d94b15f50a.jpg', 'nut-1', '2026-11-29 06:53:14.123962+05:30');
INSERT INTO public.sku VALUES ('nut', NULL, NULL, NULL, NULL, NULL, '2026-11-29 06:53:14.034653+05:30', '2026-11-29 06:53:14.034653+05:30');
INSERT INTO public.sku VALUES ('bolt', 'Hex bolt', 'M8, zinc plated', '04012345678901', 'L1', 2, '2026-11-29 06:53:14.023898+05:30', '2026-11-29 06:53:14.119678+05:30');
SELECT pg_catalog.setval('public.event_id_seq', 3, true);
SELECT pg_catalog.setval('public.feedback_id_seq', 2, true);
SELECT pg_catalog.setval('public.outbox_id_seq', 9, true);
SELECT pg_catalog.setval('public.prompt_set_id_seq', 3, true);
SELECT pg_catalog.setval('public.recipe_id_seq', 3, true);
SELECT pg_catalog.setval('public.reference_id_seq', 5, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.calibration
    ADD CONSTRAINT pk_calibration PRIMARY KEY (recipe_id);
ALTER TABLE ONLY public.defect
    ADD CONSTRAINT pk_defect PRIMARY KEY (inspection_id, defect_index);
ALTER TABLE ONLY public.event
    ADD CONSTRAINT pk_event PRIMARY KEY (id);
ALTER TABLE ONLY public.feedback
    ADD CONSTRAINT pk_feedback PRIMARY KEY (id);
ALTER TABLE ONLY public.inspection
    ADD CONSTRAINT pk_inspection PRIMARY KEY (inspection_id);
ALTER TABLE ONLY public.onboarding
    ADD CONSTRAINT pk_onboarding PRIMARY KEY (sku);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT pk_outbox PRIMARY KEY (id);
ALTER TABLE ONLY public.prompt_set
    ADD CONSTRAINT pk_prompt_set PRIMARY KEY (id);
ALTER TABLE ONLY public.recipe
    ADD CONSTRAINT pk_recipe PRIMARY KEY (id);
ALTER TABLE ONLY public.reference
    ADD CONSTRAINT pk_reference PRIMARY KEY (id);
ALTER TABLE ONLY public.sku
    ADD CONSTRAINT pk_sku PRIMARY KEY (sku);
ALTER TABLE ONLY public.inspection
    ADD CONSTRAINT uq_inspection_site_line_camera_frame_id UNIQUE (site, line, camera, frame_id);
ALTER TABLE ONLY public.prompt_set
    ADD CONSTRAINT uq_prompt_set_identity UNIQUE (identity);
ALTER TABLE ONLY public.recipe
    ADD CONSTRAINT uq_recipe_sku_version UNIQUE (sku, version);
ALTER TABLE ONLY public.reference
    ADD CONSTRAINT uq_reference_recipe_id_position UNIQUE (recipe_id, "position");
CREATE INDEX ix_event_occurred_at ON public.event USING btree (occurred_at);
CREATE INDEX ix_feedback_inspection_id_given_at ON public.feedback USING btree (inspection_id, given_at);
CREATE INDEX ix_inspection_frame_id ON public.inspection USING btree (frame_id);
CREATE INDEX ix_inspection_image_path ON public.inspection USING btree (image_path) WHERE (image_path IS NOT NULL);
CREATE INDEX ix_inspection_mask_path ON public.inspection USING btree (mask_path) WHERE (mask_path IS NOT NULL);
CREATE INDEX ix_inspection_media ON public.inspection USING btree (verdict, received_at, inspection_id) WHERE ((image_path IS NOT NULL) OR (mask_path IS NOT NULL) OR (overlay_path IS NOT NULL));
CREATE INDEX ix_inspection_overlay_path ON public.inspection USING btree (overlay_path) WHERE (overlay_path IS NOT NULL);
CREATE INDEX ix_inspection_part_id ON public.inspection USING btree (part_id);
CREATE INDEX ix_inspection_received_at ON public.inspection USING btree (received_at);
CREATE INDEX ix_inspection_site_line_camera_received_at ON public.inspection USING btree (site, line, camera, received_at);
CREATE INDEX ix_inspection_sku_received_at ON public.inspection USING btree (sku, received_at);
CREATE INDEX ix_outbox_pending ON public.outbox USING btree (sink, id) WHERE (sent_at IS NULL);
CREATE INDEX ix_outbox_sent_at ON public.outbox USING btree (sent_at);
CREATE UNIQUE INDEX ix_reference_held ON public.reference USING btree (sku, sha256) WHERE (recipe_id IS NULL);
CREATE INDEX ix_reference_path ON public.reference USING btree (path);
ALTER TABLE ONLY public.calibration
    ADD CONSTRAINT fk_calibration_recipe_id_recipe FOREIGN KEY (recipe_id) REFERENCES public.recipe(id);
ALTER TABLE ONLY public.defect
    ADD CONSTRAINT fk_defect_inspection_id_inspection FOREIGN KEY (inspection_id) REFERENCES public.inspection(inspection_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.feedback
    ADD CONSTRAINT fk_feedback_inspection_id_inspection FOREIGN KEY (inspection_id) REFERENCES public.inspection(inspection_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.inspection
    ADD CONSTRAINT fk_inspection_recipe_id_recipe FOREIGN KEY (recipe_id) REFERENCES public.recipe(id);
ALTER TABLE ONLY public.recipe
    ADD CONSTRAINT fk_recipe_prompt_set_id_prompt_set FOREIGN KEY (prompt_set_id) REFERENCES public.prompt_set(id);
ALTER TABLE ONLY public.recipe
    ADD CONSTRAINT fk_recipe_sku_sku FOREIGN KEY (sku) REFERENCES public.sku(sku);
ALTER TABLE ONLY public.reference
    ADD CONSTRAINT fk_reference_recipe_id_recipe FOREIGN KEY (recipe_id) REFERENCES public.recipe(id);
ALTER TABLE ONLY public.sku
    ADD CONSTRAINT fk_sku_sku_active_version_recipe FOREIGN KEY (sku, active_version) REFERENCES public.recipe(sku, version);
