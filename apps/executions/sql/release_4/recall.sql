-- Tasks of some steps come back, for nobody needs what they find: at once what nobody has leased, soon
-- what runs. By the owner of the run, who is told; done twice, it does nothing more.
CREATE FUNCTION engine_recall_tasks_4(p_tenant uuid, p_run uuid, p_token uuid, p_paths text[])
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  PERFORM FROM run WHERE tenant_id = p_tenant AND id = p_run AND fence = p_token FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  PERFORM id FROM work_item WHERE run_id = p_run ORDER BY id FOR UPDATE;
  WITH dropped AS (
    DELETE FROM work_item
     WHERE run_id = p_run AND kind = 'task' AND worker_id IS NULL AND path = ANY (p_paths)
    RETURNING path, attempt
  )
  INSERT INTO run_inbox (tenant_id, run_id, id, kind, body)
    SELECT p_tenant, p_run, gen_random_uuid(), 'task_result',
           jsonb_build_object('path', d.path, 'attempt', d.attempt, 'stopped', 'CANCELED',
             'startedAt', to_char(clock_timestamp() AT TIME ZONE 'UTC',
                                  'YYYY-MM-DD"T"HH24:MI:SS.US+00:00'))
      FROM dropped d;
  IF FOUND THEN
    UPDATE work_item SET has_mail = true WHERE run_id = p_run AND kind = 'run';
  END IF;
  UPDATE work_item SET has_mail = true
   WHERE run_id = p_run AND kind = 'task' AND path = ANY (p_paths);
END $$;
