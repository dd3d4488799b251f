-- What would stay because nobody comes for it.
CREATE INDEX work_item_recalled ON work_item (run_id)
  WHERE has_mail AND worker_id IS NULL AND kind <> 'run';

-- Tasks and chunks that were asked to come back, and that nobody has any more: their worker died or
-- left, and perhaps no other serves their pool. They come back as what nobody had begun does, so a
-- cancellation ends. Then the places of runs that have ended. Returns the pools to ring.
CREATE FUNCTION engine_tidy_4() RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
  w record;
  r record;
BEGIN
  FOR w IN
    SELECT tenant_id, run_id, array_agg(DISTINCT path) AS paths FROM work_item
     WHERE has_mail AND worker_id IS NULL AND kind <> 'run'
     GROUP BY 1, 2 ORDER BY 2 LIMIT 100
  LOOP
    PERFORM set_config('app.tenant', w.tenant_id::text, true);
    -- The run before its items, like every append; whoever has it now is waited for by the next look.
    SELECT pool, slots, fence INTO r FROM run
     WHERE tenant_id = w.tenant_id AND id = w.run_id AND finished_at IS NULL
       FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    PERFORM engine_recall_tasks_4(w.tenant_id, w.run_id, r.fence, w.paths);
    PERFORM engine_recall_chunks_3(w.tenant_id, w.run_id, w.paths);
    CONTINUE WHEN NOT EXISTS (
      SELECT FROM run_inbox WHERE tenant_id = w.tenant_id AND run_id = w.run_id);
    PERFORM engine_ready_1(w.tenant_id, r.pool);
    INSERT INTO work_item AS x (tenant_id, run_id, pool, slots, has_mail)
      VALUES (w.tenant_id, w.run_id, r.pool, r.slots, true)
      ON CONFLICT ON CONSTRAINT work_item_one DO UPDATE SET has_mail = true;
    RETURN NEXT r.pool;
  END LOOP;
  FOR w IN
    SELECT DISTINCT h.tenant_id FROM key_holder h
     WHERE NOT EXISTS (SELECT FROM work_item x WHERE x.run_id = h.run_id)
  LOOP
    PERFORM set_config('app.tenant', w.tenant_id::text, true);
    -- A run that only waits may find its place again.
    DELETE FROM key_holder WHERE (tenant_id, gate, run_id, path) IN (
      SELECT h.tenant_id, h.gate, h.run_id, h.path FROM key_holder h
       WHERE h.tenant_id = w.tenant_id AND NOT EXISTS (
         SELECT FROM run y
          WHERE y.tenant_id = h.tenant_id AND y.id = h.run_id AND y.finished_at IS NULL)
       LIMIT 500 FOR UPDATE OF h SKIP LOCKED);
  END LOOP;
END $$;
