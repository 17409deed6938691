-- What outcomes taught: corrections, which models were promoted, and how challengers scored in shadow. Append-only.

CREATE TABLE corrections (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  host_id text NOT NULL DEFAULT '',
  surfaces_sha256 text NOT NULL,
  models_sha256 text NOT NULL,
  outcomes integer NOT NULL,
  alarms jsonb NOT NULL DEFAULT '[]',
  content bytea NOT NULL
);
CREATE INDEX corrections_artifacts ON corrections (surfaces_sha256, models_sha256, number);
COMMENT ON TABLE corrections IS 'Corrections of predicted costs; of one pair of artifacts the last is in force';
COMMENT ON COLUMN corrections.models_sha256 IS 'Empty: of decisions by the surfaces alone';
COMMENT ON COLUMN corrections.outcomes IS 'Orders that they were fitted on';
COMMENT ON COLUMN corrections.alarms IS 'ALL, or algorithms whose outcomes are not what was predicted';
COMMENT ON COLUMN corrections.content IS 'The canonical bytes (service/learned.py)';

CREATE TABLE model_promotions (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  models_sha256 text NOT NULL,
  previous_sha256 text NOT NULL,
  action text NOT NULL CHECK (action IN ('PROMOTED', 'ROLLED_BACK')),
  actor text NOT NULL,
  reason text NOT NULL
);
COMMENT ON TABLE model_promotions IS 'Which models decide, by command; the last row is in force; without rows it is what the settings name';

CREATE TABLE shadow_scores (
  selection_id uuid NOT NULL,
  challenger_sha256 text NOT NULL,
  champion_sha256 text NOT NULL,
  champion_algorithm text NOT NULL,
  champion_cost_bps double precision NOT NULL,
  champion_other_cost_bps double precision,
  challenger_algorithm text NOT NULL,
  challenger_strategy text NOT NULL,
  challenger_cost_bps double precision NOT NULL,
  challenger_chosen_cost_bps double precision,
  same_choice boolean NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (selection_id, challenger_sha256)
);
COMMENT ON TABLE shadow_scores IS 'What a challenger would have said of recorded decisions; it answered none of them';
COMMENT ON COLUMN shadow_scores.champion_cost_bps IS 'Forecast of the models that answered for what they chose, bps, without corrections';
COMMENT ON COLUMN shadow_scores.champion_other_cost_bps IS 'Their forecast for what the challenger would have chosen, bps; NULL where they did not price that';
COMMENT ON COLUMN shadow_scores.challenger_cost_bps IS 'Its forecast for its own choice, bps';
COMMENT ON COLUMN shadow_scores.challenger_chosen_cost_bps IS 'Its forecast for what the champion chose, bps; NULL where it would not price that';

CREATE FUNCTION ess_tell_learning() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('ess_learning', TG_TABLE_NAME);
  RETURN NULL;
END $$;
DO $$
DECLARE
  made text;
BEGIN
  EXECUTE format('ALTER FUNCTION ess_tell_learning() SET search_path = %I, pg_temp', current_schema());
  FOREACH made IN ARRAY ARRAY['corrections', 'model_promotions', 'shadow_scores'] LOOP
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION ess_refuse()', made);
    EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I EXECUTE FUNCTION ess_refuse()', made);
  END LOOP;
END $$;
CREATE TRIGGER tell AFTER INSERT ON corrections FOR EACH ROW EXECUTE FUNCTION ess_tell_learning();
CREATE TRIGGER tell AFTER INSERT ON model_promotions FOR EACH ROW EXECUTE FUNCTION ess_tell_learning();

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ess_service') THEN
    GRANT SELECT, INSERT ON corrections, shadow_scores, model_promotions TO ess_service;
  END IF;
END $$;
