-- Back to the sixth release.
DROP FUNCTION executions_chain_7, engine_claim_7;
DROP TABLE handler_owed;
