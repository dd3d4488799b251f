-- A signal for a run: the state it was found in, or FULL when too many wait to be taken. The same id
-- counts once, here while it is unread and in history for ever.
CREATE FUNCTION executions_signal_3(p_tenant uuid, p_run uuid, p_id uuid, p_body jsonb, p_most int)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  SELECT state, signals, finished_at INTO r FROM run
   WHERE tenant_id = p_tenant AND id = p_run FOR NO KEY UPDATE;
  IF NOT FOUND OR r.finished_at IS NOT NULL THEN
    RETURN r.state;
  END IF;
  IF r.signals + (SELECT count(*) FROM run_inbox i WHERE i.tenant_id = p_tenant
                     AND i.run_id = p_run AND i.kind = 'signal') >= p_most
     AND NOT EXISTS (SELECT FROM run_inbox i
                      WHERE i.tenant_id = p_tenant AND i.run_id = p_run AND i.id = p_id) THEN
    RETURN 'FULL';
  END IF;
  RETURN executions_tell_1(p_tenant, p_run, p_id, 'signal', p_body);
END $$;
