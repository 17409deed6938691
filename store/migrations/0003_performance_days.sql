-- One row a strategy and day: `Performance` writes days that have ended again when it reads them. The service's role may
-- do that since 0002.

-- Nothing wrote here before; should somebody have by hand, the newest row of a day stays.
DELETE FROM strategy_performance AS older USING strategy_performance AS newer
WHERE older.strategy_name = newer.strategy_name AND older.execution_date = newer.execution_date
  AND (older.created_at, older.id) < (newer.created_at, newer.id);

CREATE UNIQUE INDEX strategy_performance_day ON strategy_performance (strategy_name, execution_date);
COMMENT ON COLUMN strategy_performance.execution_date IS 'UTC day on which the outcomes were reported';
COMMENT ON COLUMN strategy_performance.orders_executed IS 'Orders with a reported outcome';
COMMENT ON COLUMN strategy_performance.avg_market_impact IS 'Fraction of notional; NULL where no report told one';
COMMENT ON COLUMN strategy_performance.success_rate IS '0 to 1: filled completely at a cost of at most the forecast''s 90 % quantile';
COMMENT ON COLUMN strategy_performance.created_at IS 'When these figures were computed';
