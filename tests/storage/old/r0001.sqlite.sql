BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE calibration (
	recipe_id INTEGER NOT NULL, 
	threshold DOUBLE NOT NULL, 
	review_below DOUBLE NOT NULL, 
	samples INTEGER NOT NULL, 
	false_alarm_rate DOUBLE NOT NULL, 
	source TEXT NOT NULL, 
	map_threshold DOUBLE, 
	scorer TEXT, 
	CONSTRAINT pk_calibration PRIMARY KEY (recipe_id), 
	CONSTRAINT fk_calibration_recipe_id_recipe FOREIGN KEY(recipe_id) REFERENCES recipe (id)
);
INSERT INTO "calibration" VALUES(1,0.5,0.4,16,0.01,'leave-one-out of 16 references',0.45,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff');
INSERT INTO "calibration" VALUES(3,0.5,0.4,16,0.01,'leave-one-out of 16 references',0.45,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff');
CREATE TABLE defect (
	inspection_id TEXT NOT NULL, 
	defect_index INTEGER NOT NULL, 
	label TEXT NOT NULL, 
	score DOUBLE NOT NULL, 
	bbox_x INTEGER NOT NULL, 
	bbox_y INTEGER NOT NULL, 
	bbox_width INTEGER NOT NULL, 
	bbox_height INTEGER NOT NULL, 
	area_px INTEGER NOT NULL, 
	area_fraction DOUBLE NOT NULL, 
	CONSTRAINT pk_defect PRIMARY KEY (inspection_id, defect_index), 
	CONSTRAINT fk_defect_inspection_id_inspection FOREIGN KEY(inspection_id) REFERENCES inspection (inspection_id) ON DELETE CASCADE
);
INSERT INTO "defect" VALUES('0190-full',1,'scratch',0.75,10,20,30,40,900,0.0125);
INSERT INTO "defect" VALUES('0190-full',2,'dent',0.75,10,20,30,40,900,0.0125);
CREATE TABLE event (
	id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	severity VARCHAR(8) NOT NULL, 
	message TEXT NOT NULL, 
	occurred_at VARCHAR(27) NOT NULL, 
	camera TEXT, 
	sku TEXT, 
	details JSON NOT NULL, 
	agent_id TEXT NOT NULL, 
	agent_version TEXT NOT NULL, 
	CONSTRAINT pk_event PRIMARY KEY (id), 
	CONSTRAINT ck_event_severity CHECK (severity IN ('info', 'warning', 'error'))
);
INSERT INTO "event" VALUES(1,'job','info','line 1 now runs bolt','2026-11-20T12:00:00.000000Z','factory/line-1/cam-a','bolt','{"n": 1}','cell-7','0.1.0');
CREATE TABLE feedback (
	id INTEGER NOT NULL, 
	inspection_id TEXT NOT NULL, 
	truth VARCHAR(16) NOT NULL, 
	given_at VARCHAR(27) NOT NULL, 
	given_by TEXT, 
	note TEXT, 
	CONSTRAINT pk_feedback PRIMARY KEY (id), 
	CONSTRAINT ck_feedback_truth CHECK (truth IN ('good', 'defective')), 
	CONSTRAINT fk_feedback_inspection_id_inspection FOREIGN KEY(inspection_id) REFERENCES inspection (inspection_id) ON DELETE CASCADE
);
INSERT INTO "feedback" VALUES(1,'0190-full','good','2026-11-20T13:00:00.000000Z','Ada',NULL);
INSERT INTO "feedback" VALUES(2,'i:factory/line-1/cam-a:f-1','defective','2026-11-20T14:00:00.000000Z',NULL,'scratched');
CREATE TABLE inspection (
	inspection_id TEXT NOT NULL, 
	site TEXT NOT NULL, 
	line TEXT NOT NULL, 
	camera TEXT NOT NULL, 
	frame_id TEXT NOT NULL, 
	content_derived BOOLEAN NOT NULL, 
	part_id TEXT, 
	sku TEXT, 
	verdict VARCHAR(8) NOT NULL, 
	reason TEXT NOT NULL, 
	score DOUBLE, 
	threshold DOUBLE, 
	threshold_source TEXT, 
	calibration_samples INTEGER, 
	calibrated BOOLEAN NOT NULL, 
	shadow BOOLEAN NOT NULL, 
	late BOOLEAN NOT NULL, 
	recipe_id INTEGER, 
	recipe_version INTEGER, 
	method TEXT, 
	prompt_source TEXT, 
	shots INTEGER, 
	model_digest TEXT, 
	queue_ms DOUBLE, 
	decode_ms DOUBLE, 
	infer_ms DOUBLE, 
	record_ms DOUBLE, 
	image_path TEXT, 
	mask_path TEXT, 
	overlay_path TEXT, 
	width INTEGER, 
	height INTEGER, 
	captured_at VARCHAR(27), 
	received_at VARCHAR(27) NOT NULL, 
	inspected_at VARCHAR(27) NOT NULL, 
	agent_id TEXT NOT NULL, 
	agent_version TEXT NOT NULL, 
	CONSTRAINT pk_inspection PRIMARY KEY (inspection_id), 
	CONSTRAINT uq_inspection_site_line_camera_frame_id UNIQUE (site, line, camera, frame_id), 
	CONSTRAINT ck_inspection_verdict CHECK (verdict IN ('PASS', 'FAIL', 'REVIEW', 'ERROR', 'SKIPPED')), 
	CONSTRAINT fk_inspection_recipe_id_recipe FOREIGN KEY(recipe_id) REFERENCES recipe (id)
);
INSERT INTO "inspection" VALUES('i:factory/line-1/cam-a:f-1','factory','line-1','cam-a','f-1',0,NULL,'bolt','PASS','a reason',0.3,0.5,NULL,16,0,0,0,1,1,'sightline','ollama',2,NULL,0.0,0.0,0.0,0.0,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-20T12:00:00.000000Z','2026-11-20T12:00:00.000000Z','cell-7','0.1.0');
INSERT INTO "inspection" VALUES('i:factory/line-1/cam-a:f-2','factory','line-1','cam-a','f-2',0,NULL,'nut','REVIEW','a reason',NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,0.0,0.0,0.0,0.0,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-20T12:00:00.000000Z','2026-11-20T12:00:00.000000Z','cell-7','0.1.0');
INSERT INTO "inspection" VALUES('0190-full','factory','line-1','cam-a','f-full',1,'part-9','bolt','FAIL','score 0.9 is above the threshold 0.5',0.9,0.5,'leave-one-out of 16 references',16,1,1,1,1,1,'sightline','ollama',2,'abababababababababababababababababababababababababababababababab',1.5,2.5,3.5,4.5,'aa/bb/i.jpg','aa/bb/m.png','aa/bb/o.jpg',640,480,'2026-11-20T11:59:58.000000Z','2026-11-20T12:00:00.000000Z','2026-11-20T12:00:00.250000Z','cell-7','0.1.0');
CREATE TABLE outbox (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	agent_id TEXT NOT NULL, 
	inspection_id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	topic TEXT NOT NULL, 
	payload BLOB, 
	content_type TEXT NOT NULL, 
	retain BOOLEAN NOT NULL, 
	correlation_data BLOB, 
	created_at VARCHAR(27) NOT NULL, 
	sent_at VARCHAR(27), 
	CONSTRAINT ck_outbox_payload CHECK (payload IS NOT NULL OR sent_at IS NOT NULL)
);
INSERT INTO "outbox" VALUES(1,'cell-7','0190-full','verdict','factory/line-1/cam-a/verdict',X'7B7D','application/json',0,NULL,'2026-11-20T13:43:43.442517Z',NULL);
INSERT INTO "outbox" VALUES(2,'cell-7','i:factory/line-1/cam-a:f-1','verdict','factory/line-1/cam-a/verdict',X'662D31','application/json',0,NULL,'2026-11-20T13:43:43.442526Z',NULL);
INSERT INTO "outbox" VALUES(3,'cell-7','i:factory/line-1/cam-a:f-2','verdict','factory/line-1/cam-a/verdict',X'662D32','application/json',0,NULL,'2026-11-20T13:43:43.442527Z',NULL);
CREATE TABLE prompt_set (
	id INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	identity VARCHAR(64) NOT NULL, 
	normal JSON NOT NULL, 
	anomalous JSON NOT NULL, 
	defects JSON NOT NULL, 
	source VARCHAR(16) NOT NULL, 
	provenance JSON NOT NULL, 
	created_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_prompt_set PRIMARY KEY (id), 
	CONSTRAINT uq_prompt_set_identity UNIQUE (identity), 
	CONSTRAINT ck_prompt_set_source CHECK (source IN ('template', 'ollama', 'manual'))
);
INSERT INTO "prompt_set" VALUES(1,'f0e6fedc272ae48a2a724391e678005d175a8e5e499a2e0e43a9d470b97bddfd','864cdedcc0820131736cf253ba9c3c85aa11be9da9e71930f178a673fd4b7802','["a flawless hex bolt"]','["a hex bolt with a stripped thread"]','[{"name": "stripped thread", "phrases": ["a stripped thread", "a worn thread"]}]','ollama','{"model": "qwen2.5:7b-instruct", "seed": "7"}','2026-11-20T13:43:43.423558Z');
CREATE TABLE recipe (
	id INTEGER NOT NULL, 
	sku TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	noun TEXT NOT NULL, 
	method TEXT NOT NULL, 
	parameters JSON NOT NULL, 
	prompt_set_id INTEGER NOT NULL, 
	created_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_recipe PRIMARY KEY (id), 
	CONSTRAINT uq_recipe_sku_version UNIQUE (sku, version), 
	CONSTRAINT ck_recipe_version CHECK (version >= 1), 
	CONSTRAINT fk_recipe_sku_sku FOREIGN KEY(sku) REFERENCES sku (sku), 
	CONSTRAINT fk_recipe_prompt_set_id_prompt_set FOREIGN KEY(prompt_set_id) REFERENCES prompt_set (id)
);
INSERT INTO "recipe" VALUES(1,'bolt',1,'hex bolt','sightline','{"size": 240, "weight": 0.5, "exact": 1.0, "depths": [1, 2], "aligned": true}',1,'2026-11-20T13:43:43.423558Z');
INSERT INTO "recipe" VALUES(2,'bolt',2,'hex bolt','sightline','{"size": 240, "weight": 0.5, "exact": 1.0, "depths": [1, 2], "aligned": true}',1,'2026-11-20T13:43:43.430401Z');
INSERT INTO "recipe" VALUES(3,'bolt',3,'hex bolt','winclip','{"size": 240, "weight": 0.5, "exact": 1.0, "depths": [1, 2], "aligned": true}',1,'2026-11-20T13:43:43.432463Z');
CREATE TABLE reference (
	id INTEGER NOT NULL, 
	sku TEXT NOT NULL, 
	recipe_id INTEGER, 
	position INTEGER, 
	sha256 VARCHAR(64) NOT NULL, 
	path TEXT NOT NULL, 
	name TEXT NOT NULL, 
	created_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_reference PRIMARY KEY (id), 
	CONSTRAINT uq_reference_recipe_id_position UNIQUE (recipe_id, position), 
	CONSTRAINT ck_reference_position CHECK ((recipe_id IS NULL) = (position IS NULL)), 
	CONSTRAINT fk_reference_recipe_id_recipe FOREIGN KEY(recipe_id) REFERENCES recipe (id)
);
INSERT INTO "reference" VALUES(1,'bolt',1,0,'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd','cd/cd/x.png','good-1.png','2026-11-20T13:43:43.423558Z');
INSERT INTO "reference" VALUES(2,'bolt',1,1,'efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef','ef/ef/y.png','2','2026-11-20T13:43:43.423558Z');
INSERT INTO "reference" VALUES(3,'bolt',3,0,'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd','cd/cd/x.png','good-1.png','2026-11-20T13:43:43.432463Z');
INSERT INTO "reference" VALUES(4,'bolt',3,1,'efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef','ef/ef/y.png','2','2026-11-20T13:43:43.432463Z');
INSERT INTO "reference" VALUES(5,'nut',NULL,NULL,'abababababababababababababababababababababababababababababababab','ab/ab/n.png','nut-1','2026-11-20T13:43:43.435763Z');
CREATE TABLE sku (
	sku TEXT NOT NULL, 
	name TEXT, 
	description TEXT, 
	gtin TEXT, 
	lot TEXT, 
	active_version INTEGER, 
	registered_at VARCHAR(27) NOT NULL, 
	updated_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_sku PRIMARY KEY (sku), 
	CONSTRAINT fk_sku_sku_active_version_recipe FOREIGN KEY(sku, active_version) REFERENCES recipe (sku, version)
);
INSERT INTO "sku" VALUES('bolt','Hex bolt','M8, zinc plated','04012345678901','L1',2,'2026-11-20T13:43:43.421739Z','2026-11-20T13:43:43.430401Z');
INSERT INTO "sku" VALUES('nut',NULL,NULL,NULL,NULL,NULL,'2026-11-20T13:43:43.435166Z','2026-11-20T13:43:43.435166Z');
CREATE UNIQUE INDEX ix_reference_held ON reference (sku, sha256) WHERE recipe_id IS NULL;
CREATE INDEX ix_inspection_received_at ON inspection (received_at);
CREATE INDEX ix_inspection_site_line_camera_received_at ON inspection (site, line, camera, received_at);
CREATE INDEX ix_inspection_sku_received_at ON inspection (sku, received_at);
CREATE INDEX ix_inspection_frame_id ON inspection (frame_id);
CREATE INDEX ix_inspection_part_id ON inspection (part_id);
CREATE INDEX ix_feedback_inspection_id_given_at ON feedback (inspection_id, given_at);
CREATE INDEX ix_outbox_pending ON outbox (id) WHERE sent_at IS NULL;
CREATE INDEX ix_outbox_sent_at ON outbox (sent_at);
CREATE INDEX ix_event_occurred_at ON event (occurred_at);
CREATE VIEW inspection_history AS SELECT i.inspection_id, i.site, i.line, i.camera, i.frame_id, i.part_id, i.sku,
       i.verdict, i.reason, i.score, i.threshold, i.threshold_source, i.calibration_samples,
       i.calibrated, i.shadow, i.late,
       i.recipe_id, i.recipe_version, i.method, i.prompt_source, i.shots, i.model_digest,
       (SELECT COUNT(*) FROM defect d WHERE d.inspection_id = i.inspection_id) AS defects,
       (SELECT group_concat(o.label, ', ') FROM (SELECT d.label FROM defect d WHERE d.inspection_id = i.inspection_id ORDER BY d.defect_index) o) AS defect_labels,
       f.truth, f.given_by AS truth_by, f.note AS truth_note, f.given_at AS truth_at,
       i.captured_at, i.received_at, i.inspected_at,
       i.queue_ms, i.decode_ms, i.infer_ms, i.record_ms,
       i.width, i.height, i.image_path, i.mask_path, i.overlay_path,
       i.agent_id, i.agent_version
FROM inspection i
LEFT JOIN (
    SELECT inspection_id, truth, given_by, note, given_at,
           ROW_NUMBER() OVER (PARTITION BY inspection_id ORDER BY given_at DESC, id DESC) AS recency
    FROM feedback
) f ON f.inspection_id = i.inspection_id AND f.recency = 1;
CREATE VIEW hourly_yield AS SELECT strftime('%Y-%m-%dT%H:00:00Z', received_at) AS hour, site, line, camera, sku, shadow,
       COUNT(*) AS inspections,
       COUNT(*) FILTER (WHERE verdict = 'PASS') AS passed,
       COUNT(*) FILTER (WHERE verdict = 'FAIL') AS failed,
       COUNT(*) FILTER (WHERE verdict = 'REVIEW') AS review,
       COUNT(*) FILTER (WHERE verdict = 'ERROR') AS errors,
       COUNT(*) FILTER (WHERE verdict = 'SKIPPED') AS skipped,
       CAST(COUNT(*) FILTER (WHERE verdict = 'PASS') AS DOUBLE PRECISION)
         / NULLIF(COUNT(*) FILTER (WHERE verdict IN ('PASS', 'FAIL')), 0) AS yield
FROM inspection
GROUP BY strftime('%Y-%m-%dT%H:00:00Z', received_at), site, line, camera, sku, shadow;
CREATE VIEW sku_quality AS SELECT i.sku, i.recipe_version,
       COUNT(*) AS inspections,
       COUNT(*) FILTER (WHERE i.verdict = 'PASS') AS passed,
       COUNT(*) FILTER (WHERE i.verdict = 'FAIL') AS failed,
       COUNT(*) FILTER (WHERE i.verdict = 'REVIEW') AS review,
       COUNT(*) FILTER (WHERE i.verdict = 'ERROR') AS errors,
       COUNT(*) FILTER (WHERE i.verdict = 'SKIPPED') AS skipped,
       COUNT(*) FILTER (WHERE f.truth = 'good') AS truth_good,
       COUNT(*) FILTER (WHERE f.truth = 'defective') AS truth_defective,
       COUNT(*) FILTER (WHERE f.truth = 'good' AND i.verdict = 'FAIL') AS false_alarms,
       COUNT(*) FILTER (WHERE f.truth = 'defective' AND i.verdict = 'PASS') AS escapes,
       CAST(COUNT(*) FILTER (WHERE f.truth = 'good' AND i.verdict = 'FAIL') AS DOUBLE PRECISION)
         / NULLIF(COUNT(*) FILTER (WHERE f.truth = 'good'), 0) AS false_alarm_rate,
       CAST(COUNT(*) FILTER (WHERE f.truth = 'defective' AND i.verdict = 'PASS') AS DOUBLE PRECISION)
         / NULLIF(COUNT(*) FILTER (WHERE f.truth = 'defective'), 0) AS escape_rate
FROM inspection i
LEFT JOIN (
    SELECT inspection_id, truth, given_by, note, given_at,
           ROW_NUMBER() OVER (PARTITION BY inspection_id ORDER BY given_at DESC, id DESC) AS recency
    FROM feedback
) f ON f.inspection_id = i.inspection_id AND f.recency = 1
GROUP BY i.sku, i.recipe_version;
CREATE VIEW defect_pareto AS SELECT sku, label, defects, inspections, rank,
       CAST(defects AS DOUBLE PRECISION) / SUM(defects) OVER whole AS share,
       CAST(SUM(defects) OVER so_far AS DOUBLE PRECISION) / SUM(defects) OVER whole AS cumulative_share
FROM (
    SELECT i.sku, d.label,
           COUNT(*) AS defects,
           COUNT(DISTINCT d.inspection_id) AS inspections,
           ROW_NUMBER() OVER (PARTITION BY i.sku ORDER BY COUNT(*) DESC, d.label) AS rank
    FROM defect d
    JOIN inspection i ON i.inspection_id = d.inspection_id
    LEFT JOIN (
    SELECT inspection_id, truth, given_by, note, given_at,
           ROW_NUMBER() OVER (PARTITION BY inspection_id ORDER BY given_at DESC, id DESC) AS recency
    FROM feedback
) f ON f.inspection_id = i.inspection_id AND f.recency = 1
    WHERE f.truth = 'defective' OR (f.truth IS NULL AND i.verdict = 'FAIL')
    GROUP BY i.sku, d.label
) counted
WINDOW whole AS (PARTITION BY sku),
       so_far AS (PARTITION BY sku ORDER BY rank ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',3);
COMMIT;
