-- Results of pure steps, by a digest of all they were made from; a row is never more than a copy.
CREATE TABLE step_cache (
  tenant_id uuid NOT NULL,
  digest bytea NOT NULL,
  node_type text NOT NULL,
  outputs jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  CONSTRAINT step_cache_pkey PRIMARY KEY (tenant_id, digest)
);
CREATE INDEX step_cache_age ON step_cache (tenant_id, created_at);
CREATE INDEX step_cache_over ON step_cache (tenant_id, expires_at);

-- The digest with the versions that its secrets have here and now, and what is kept under it.
CREATE FUNCTION engine_cached_4(
  p_tenant uuid, p_environment uuid, p_digest bytea, p_secrets text[]
) RETURNS TABLE (digest bytea, outputs jsonb)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  digest := p_digest;
  IF p_secrets <> '{}' THEN
    SELECT sha256(p_digest || convert_to(string_agg(s.name || ' ' || s.id || ' ' || s.current_version,
             E'\n' ORDER BY s.name), 'UTF8')) INTO digest
      FROM vault_secret s
     WHERE s.tenant_id = p_tenant AND s.environment_id = p_environment AND s.name = ANY (p_secrets);
  END IF;
  SELECT c.outputs INTO outputs FROM step_cache c
   WHERE c.tenant_id = p_tenant AND c.digest = engine_cached_4.digest
     AND c.expires_at > clock_timestamp();
  RETURN NEXT;
END $$;

-- Keeps a result. Now and then the oldest beyond p_most make room: a tenant has that many and a few.
CREATE FUNCTION engine_cache_4(
  p_tenant uuid, p_digest bytea, p_type text, p_outputs jsonb, p_seconds int, p_most int
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  INSERT INTO step_cache AS c (tenant_id, digest, node_type, outputs, expires_at)
    VALUES (p_tenant, p_digest, p_type, p_outputs,
            clock_timestamp() + make_interval(secs => p_seconds))
    ON CONFLICT ON CONSTRAINT step_cache_pkey DO UPDATE
      SET outputs = excluded.outputs, created_at = clock_timestamp(),
          expires_at = excluded.expires_at;
  IF random() < 0.02 THEN
    DELETE FROM step_cache c WHERE c.tenant_id = p_tenant AND c.created_at < (
      SELECT o.created_at FROM step_cache o WHERE o.tenant_id = p_tenant
       ORDER BY o.created_at DESC OFFSET p_most - 1 LIMIT 1);
  END IF;
END $$;
