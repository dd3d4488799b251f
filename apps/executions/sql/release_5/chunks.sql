-- Chunks, fifth release: what they use is counted when they give way, and those that could go on with
-- nothing now hold no worker.

-- As before, and what its steps have used so far.
CREATE FUNCTION engine_chunk_take_5(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_item bigint, p_token uuid
) RETURNS TABLE (died int, spent jsonb)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  dead int := engine_chunk_take_4(p_tenant, p_run, p_path, p_chunk, p_item, p_token);
BEGIN
  RETURN QUERY
    SELECT dead, c.spent FROM map_chunk c
     WHERE c.tenant_id = p_tenant AND c.run_id = p_run AND c.path = p_path AND c.chunk = p_chunk
       AND dead IS NOT NULL;
END $$;

-- A living worker puts down a chunk: behind what is ready now, or asleep until that time. False: it is
-- another's.
CREATE FUNCTION engine_chunk_rest_5(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_item bigint, p_token uuid, p_spent jsonb,
  p_until timestamptz
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  where_ text;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  SELECT pool INTO where_ FROM work_item WHERE id = p_item AND token = p_token;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM engine_ready_1(p_tenant, where_);
  UPDATE work_item
     SET worker_id = NULL, token = NULL, granted = 0,
         pool = CASE WHEN p_until IS NULL OR has_mail THEN pool ELSE 'asleep/' || pool END,
         sort_key = coalesce(p_until, clock_timestamp())
   WHERE id = p_item AND token = p_token;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE map_chunk SET spent = p_spent
   WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND chunk = p_chunk
     AND token = p_token;
  RETURN true;
END $$;

-- A chunk's end, in one transaction: the item goes, the counts are in the run's inbox, the run has an
-- item. False: another worker holds it now, or an earlier call of ours has done all this.
CREATE FUNCTION engine_chunk_done_5(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_item bigint, p_token uuid, p_id uuid,
  p_body jsonb
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT engine_chunk_done_3(p_tenant, p_run, p_path, p_chunk, p_item, p_token, p_id, p_body) THEN
    RETURN false;
  END IF;
  -- One that was undone may never have come to its end.
  UPDATE map_chunk
     SET spent = '{}', state = CASE WHEN p_body ? 'undoes' THEN 'stopped' ELSE state END
   WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND chunk = p_chunk
     AND (spent <> '{}' OR p_body ? 'undoes');
  RETURN true;
END $$;

-- Chunks of these maps (of all, when null) come back: at once what nobody has leased, soon what runs.
-- One that looks after runs of items is woken instead: it knows what they are to be told. Mended for
-- workers of the release before: what a chunk has used comes with it.
CREATE OR REPLACE FUNCTION engine_recall_chunks_3(p_tenant uuid, p_run uuid, p_paths text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  kept bigint[];
BEGIN
  INSERT INTO map_news (tenant_id, run_id, path, chunk)
    SELECT DISTINCT i.tenant_id, i.run_id, i.path, i.chunk FROM map_item i
     WHERE i.tenant_id = p_tenant AND i.run_id = p_run AND i.child IS NOT NULL
       AND i.state = 'begun' AND (p_paths IS NULL OR i.path = ANY (p_paths));
  IF FOUND THEN
    kept := ARRAY (
      SELECT w.id FROM work_item w
       WHERE w.run_id = p_run AND w.kind = 'chunk' AND EXISTS (
         SELECT FROM map_item i WHERE i.tenant_id = p_tenant AND i.run_id = p_run
            AND i.path = w.path AND i.chunk = w.idx AND i.child IS NOT NULL AND i.state = 'begun'));
  END IF;
  PERFORM id FROM work_item WHERE run_id = p_run AND kind = 'chunk' ORDER BY id FOR UPDATE;
  WITH dropped AS (
    DELETE FROM work_item WHERE run_id = p_run AND kind = 'chunk' AND worker_id IS NULL
       AND (p_paths IS NULL OR path = ANY (p_paths)) AND id <> ALL (coalesce(kept, '{}'))
    RETURNING path, idx, attempt
  ), spent AS (
    SELECT m.path, m.chunk, m.spent FROM map_chunk m JOIN dropped d
        ON m.tenant_id = p_tenant AND m.run_id = p_run AND m.path = d.path AND m.chunk = d.idx
  ), ended AS (
    UPDATE map_chunk m SET state = 'stopped', token = NULL, spent = '{}',
           done = engine_map_count_3(p_tenant, p_run, m.path, m.low, m.high, 'done'),
           failed = engine_map_count_3(p_tenant, p_run, m.path, m.low, m.high, 'failed')
      FROM dropped d
     WHERE m.tenant_id = p_tenant AND m.run_id = p_run AND m.path = d.path AND m.chunk = d.idx
    RETURNING m.path, m.chunk, m.attempt, m.done, m.failed
  )
  INSERT INTO run_inbox (tenant_id, run_id, id, kind, body)
    SELECT p_tenant, p_run, gen_random_uuid(), 'chunk_result',
           s.spent || jsonb_build_object('path', e.path, 'chunk', e.chunk, 'attempt', e.attempt,
                                         'done', e.done, 'failed', e.failed, 'stopped', true)
      FROM ended e JOIN spent s ON s.path = e.path AND s.chunk = e.chunk;
  IF FOUND THEN
    UPDATE work_item SET has_mail = true WHERE run_id = p_run AND kind = 'run';
  END IF;
  UPDATE work_item SET has_mail = true
   WHERE run_id = p_run AND kind = 'chunk' AND (p_paths IS NULL OR path = ANY (p_paths));
END $$;
