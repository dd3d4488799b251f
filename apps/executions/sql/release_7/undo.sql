-- Back to the sixth release.
DROP FUNCTION executions_chain_7, engine_claim_7;
