-- The relay asks of each entry whether an earlier one of its run was put off: few ever are. It takes
-- from the front, so what is gone there must be cleared away.
CREATE INDEX outbox_postponed ON outbox (run_id) WHERE due_at > '-infinity';
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
                        autovacuum_vacuum_cost_delay = 0);
