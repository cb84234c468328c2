-- When all chains were last verified, and with which verdict: noted by the auditor's login, which can change no record,
-- and changed by nobody. When a verification ended and whose login noted it is for the server to say. A note for who
-- looks, and no proof: the proof is to verify again.
CREATE TABLE audit.verification (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    login text NOT NULL DEFAULT session_user,
    began_at timestamptz NOT NULL, -- heads and records up to here were judged
    verified boolean NOT NULL,
    chains bigint NOT NULL CHECK (chains >= 0),
    records bigint NOT NULL CHECK (records >= 0),
    heads bigint NOT NULL CHECK (heads >= 0),
    open_intents bigint NOT NULL CHECK (open_intents >= 0),
    first_fault text NOT NULL CHECK (char_length(first_fault) <= 500), -- empty when everything held
    CHECK (verified = (first_fault = ''))
);
GRANT INSERT (began_at, verified, chains, records, heads, open_intents, first_fault) ON audit.verification
    TO gateway_auditor;
GRANT SELECT ON audit.verification TO gateway, gateway_auditor;
