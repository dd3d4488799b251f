-- At most so many steps at once that share a key. A holder is a row; it counts while the run has its
-- item (whoever leases it: what its worker died with still holds its place, and the next owner finds
-- it), or while the step is a task. So nothing is counted that could leak.
CREATE FUNCTION engine_enter_3(
  p_tenant uuid, p_gate uuid, p_run uuid, p_path text, p_most int
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true),
          pg_advisory_xact_lock(hashtextextended(p_tenant::text || p_gate::text, 2));
  PERFORM FROM key_holder
    WHERE tenant_id = p_tenant AND gate = p_gate AND run_id = p_run AND path = p_path;
  IF FOUND THEN
    RETURN true;
  END IF;
  DELETE FROM key_holder h
   WHERE h.tenant_id = p_tenant AND h.gate = p_gate AND NOT EXISTS (
     SELECT FROM work_item w WHERE w.run_id = h.run_id AND (w.kind = 'run' OR w.path = h.path));
  IF (SELECT count(*) FROM key_holder WHERE tenant_id = p_tenant AND gate = p_gate) >= p_most THEN
    RETURN false;
  END IF;
  INSERT INTO key_holder (tenant_id, gate, run_id, path) VALUES (p_tenant, p_gate, p_run, p_path);
  RETURN true;
END $$;

CREATE FUNCTION engine_leave_3(p_tenant uuid, p_run uuid, p_path text) RETURNS void
LANGUAGE sql AS $$
  DELETE FROM key_holder WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path
$$;
