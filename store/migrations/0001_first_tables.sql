-- The specification's three tables with its columns, what a selection needs besides, and reference data.
-- Bounds on text are the specification's; units stand in the comments.

CREATE TABLE execution_strategies (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  strategy_name varchar(100) NOT NULL UNIQUE,
  strategy_type varchar(50) NOT NULL,
  algorithm_mapping jsonb NOT NULL,
  parameter_ranges jsonb NOT NULL,
  performance_metrics jsonb,
  enabled boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE execution_strategies IS 'The catalogue: which strategies there are and may be chosen';
COMMENT ON COLUMN execution_strategies.algorithm_mapping IS 'FIX 847 TargetStrategy and the names of 957-960 parameters';
COMMENT ON COLUMN execution_strategies.parameter_ranges IS 'Per parameter the values or bounds that candidates are made from';
COMMENT ON COLUMN execution_strategies.enabled IS 'Set by the operator; never overwritten by a start';

CREATE TABLE strategy_selections (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  order_id varchar(100) NOT NULL,
  strategy_name varchar(100) NOT NULL,
  selection_rationale text,
  market_conditions jsonb,
  expected_outcomes jsonb,
  actual_outcomes jsonb,
  performance_score double precision,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_at_ns bigint NOT NULL,
  instrument_id text NOT NULL,
  side text NOT NULL,
  quantity double precision NOT NULL,
  objective text NOT NULL,
  urgency text NOT NULL,
  algorithm text NOT NULL,
  confidence double precision NOT NULL,
  parameters jsonb NOT NULL,
  venue_allocation jsonb NOT NULL,
  versions jsonb NOT NULL,
  tags jsonb NOT NULL DEFAULT '{}',
  gateway text NOT NULL DEFAULT '',
  request_hash text NOT NULL,
  request bytea NOT NULL,
  response bytea NOT NULL,
  host_id text NOT NULL DEFAULT '',
  status text NOT NULL DEFAULT 'RECORDED' CHECK (status IN ('RECORDED', 'CONFLICTED')),
  inserted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX strategy_selections_order_id ON strategy_selections (order_id, created_at);
CREATE INDEX strategy_selections_created_at ON strategy_selections (created_at);
COMMENT ON TABLE strategy_selections IS 'Every decision, written once';
COMMENT ON COLUMN strategy_selections.id IS 'Fixed by the service before anything is stored, so that writing twice changes nothing';
COMMENT ON COLUMN strategy_selections.expected_outcomes IS 'estimated_cost and market_impact: fraction of notional; estimated_time_minutes: minutes; completion_probability and risk_score: 0 to 1';
COMMENT ON COLUMN strategy_selections.actual_outcomes IS 'NULL until the outcome is reported; same units as expected_outcomes';
COMMENT ON COLUMN strategy_selections.performance_score IS '0 to 1; NULL until the outcome is reported';
COMMENT ON COLUMN strategy_selections.created_at IS 'When the decision was made, in microseconds; created_at_ns is exact';
COMMENT ON COLUMN strategy_selections.created_at_ns IS 'Nanoseconds since the Unix epoch (UTC)';
COMMENT ON COLUMN strategy_selections.quantity IS 'Shares, or the unit of the instrument';
COMMENT ON COLUMN strategy_selections.confidence IS '0 to 1';
COMMENT ON COLUMN strategy_selections.venue_allocation IS 'Fraction of the quantity per venue (ISO 10383 MIC), sums to 1';
COMMENT ON COLUMN strategy_selections.versions IS 'Versions and hashes of engine, snapshot and artifacts that decided';
COMMENT ON COLUMN strategy_selections.request_hash IS 'SHA-256 (hex) of the content of the request';
COMMENT ON COLUMN strategy_selections.request IS 'The canonical bytes of the request message';
COMMENT ON COLUMN strategy_selections.response IS 'The canonical bytes of the response message';
COMMENT ON COLUMN strategy_selections.host_id IS 'Which host decided';
COMMENT ON COLUMN strategy_selections.status IS 'CONFLICTED: another host had decided this order before';
COMMENT ON COLUMN strategy_selections.inserted_at IS 'When the row reached this database';

CREATE TABLE strategy_performance (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  strategy_name varchar(100) NOT NULL,
  execution_date date NOT NULL,
  orders_executed integer,
  avg_cost double precision,
  avg_market_impact double precision,
  success_rate double precision,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX strategy_performance_date ON strategy_performance (execution_date, strategy_name);
COMMENT ON COLUMN strategy_performance.avg_cost IS 'Fraction of notional, positive when it hurt the orders';
COMMENT ON COLUMN strategy_performance.avg_market_impact IS 'Fraction of notional';
COMMENT ON COLUMN strategy_performance.success_rate IS '0 to 1';

-- Not partitioned, ever: the one place where an order id is unique across hosts.
CREATE TABLE orders (
  order_id varchar(100) PRIMARY KEY,
  request_hash text NOT NULL,
  selection_id uuid NOT NULL,
  created_at timestamptz NOT NULL
);
CREATE INDEX orders_created_at ON orders (created_at);
COMMENT ON TABLE orders IS 'Which selection an order id belongs to: the first that reached this database';
COMMENT ON COLUMN orders.request_hash IS 'SHA-256 (hex) of the content of the request';
COMMENT ON COLUMN orders.created_at IS 'When the decision was made';

CREATE TABLE venues (
  mic text PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('LIT', 'DARK')),
  name text NOT NULL,
  aliases jsonb NOT NULL DEFAULT '[]',
  country text NOT NULL DEFAULT '',
  origin text NOT NULL DEFAULT '',
  updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN venues.mic IS 'ISO 10383 market identifier code';
COMMENT ON COLUMN venues.aliases IS 'Other names that requests may use';
COMMENT ON COLUMN venues.country IS 'ISO 3166 alpha-2';
COMMENT ON COLUMN venues.origin IS 'Where these figures come from';

CREATE TABLE instruments (
  instrument_id text PRIMARY KEY,
  reference jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  version bigint NOT NULL DEFAULT 1
);
COMMENT ON COLUMN instruments.reference IS 'Tick and lot size, calendar, currency, venues with fees (bps) and dark tails, volume curve (fractions)';
COMMENT ON COLUMN instruments.version IS 'Grows by one with every change';

CREATE TABLE instrument_market (
  instrument_id text PRIMARY KEY,
  as_of timestamptz NOT NULL,
  figures jsonb NOT NULL,
  bars jsonb NOT NULL DEFAULT '[]',
  updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN instrument_market.as_of IS 'Of the newest figure, in microseconds; figures.as_of_ns is exact';
COMMENT ON COLUMN instrument_market.figures IS 'as_of_ns, mid_price (currency of the instrument), spread_bps, daily_volatility_fraction, average_daily_volume_shares, short_term_alpha_bps_per_day; absent or null: not known';
COMMENT ON COLUMN instrument_market.bars IS 'Last minutes, oldest first, each [end_ns, mid_price, volume_shares, spread_bps]';
