-- Back to the fourth release.
UPDATE lane SET has_ready = true WHERE NOT has_ready;
UPDATE work_item SET pool = substr(pool, 8) WHERE pool LIKE 'asleep/%';
DROP FUNCTION engine_claim_5, engine_reap_5, engine_release_5, engine_wake_5, engine_tidy_5,
  engine_ready_5;
DROP FUNCTION engine_chunk_take_5, engine_chunk_rest_5, engine_chunk_done_5;
DROP FUNCTION engine_enter_5;
DROP FUNCTION engine_key_counts_5;
DROP FUNCTION engine_append_batch_5;
DROP INDEX work_item_asleep;
ALTER TABLE map_chunk DROP COLUMN spent;
DROP TABLE key_wait;
ALTER TABLE key_holder DROP COLUMN item_id;
