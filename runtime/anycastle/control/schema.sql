-- The control plane's truth. migrations/ lead to exactly this (a test compares them).
--
-- Every change that agents must hear of is one transaction: it locks the deployment
-- row, changes rows, writes one row of "change" and notifies. The lock makes commits
-- happen in the order of their revisions and leaves no gap when one is rolled back;
-- a sequence would do neither.

CREATE TABLE migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- One row. epoch: made anew with the database, so that a revision of another
-- database's life is never taken for one of this.
CREATE TABLE deployment (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT deployment_one_row CHECK (only_row),
    name text NOT NULL,
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    revision bigint NOT NULL DEFAULT 0 CONSTRAINT deployment_revision_positive CHECK (revision >= 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The ring of recent changes. frame: the encoded model.feed.Change, written once and
-- sent to every agent as it is.
CREATE TABLE change (
    revision bigint PRIMARY KEY,
    reason text NOT NULL,
    frame bytea NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE client (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CONSTRAINT client_name_unique UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE credential (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    client uuid NOT NULL REFERENCES client ON DELETE CASCADE,
    public_key bytea NOT NULL
        CONSTRAINT credential_public_key_unique UNIQUE
        CONSTRAINT credential_public_key_length CHECK (octet_length(public_key) = 32),
    preshared_key bytea
        CONSTRAINT credential_preshared_key_length CHECK (octet_length(preshared_key) = 32),
    not_after timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX credential_client ON credential (client);

CREATE TABLE client_address (
    address inet CONSTRAINT client_address_unique PRIMARY KEY,
    client uuid NOT NULL REFERENCES client ON DELETE CASCADE
);

CREATE INDEX client_address_client ON client_address (client);

-- Allocation in constant time: of each pool's addresses below "next" each one is
-- either a client's or in "released_address"; so the lowest free one is the lower of
-- the lowest released and the first from "next" on that nobody holds.
CREATE TABLE pool (
    network cidr PRIMARY KEY,
    next inet NOT NULL
);

CREATE TABLE released_address (
    address inet PRIMARY KEY
);

-- A node exists from its first join until an operator removes it. report: the last
-- model.status.NodeReport without its sessions.
CREATE TABLE node (
    name text PRIMARY KEY,
    joined_at timestamptz,
    reported_at timestamptz,
    report jsonb
);

-- Nodes that operators want out of service. No row: the node is to serve.
CREATE TABLE node_drain (
    node text PRIMARY KEY REFERENCES node ON DELETE CASCADE,
    since timestamptz NOT NULL,
    deadline timestamptz NOT NULL,
    reason text NOT NULL,
    force boolean NOT NULL,
    actor text NOT NULL
);

-- The newest handshake wins, whichever node reports it.
CREATE TABLE session (
    client uuid PRIMARY KEY REFERENCES client ON DELETE CASCADE,
    node text NOT NULL,
    endpoint text NOT NULL,
    latest_handshake timestamptz NOT NULL,
    received bigint NOT NULL,
    sent bigint NOT NULL
);

CREATE INDEX session_node ON session (node);

-- Every certificate that was issued. key: SHA-256 of its SubjectPublicKeyInfo.
CREATE TABLE certificate (
    serial numeric PRIMARY KEY,
    node text NOT NULL,
    key bytea NOT NULL,
    issued_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);

CREATE INDEX certificate_node ON certificate (node);

-- secret: SHA-256 of a random secret of 256 bits; nothing shorter is accepted, so
-- there is no dictionary to try and a slow hash would only slow the API down.
-- used_by: SHA-256 of the SubjectPublicKeyInfo that joined with a join token.
CREATE TABLE token (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL CONSTRAINT token_kind_known CHECK (kind IN ('operator', 'join')),
    name text NOT NULL,
    role text CONSTRAINT token_role_known CHECK (role IN ('admin', 'viewer')),
    node text,
    secret bytea NOT NULL CONSTRAINT token_secret_unique UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    used_at timestamptz,
    used_by bytea,
    revoked_at timestamptz,
    CONSTRAINT token_kind_complete CHECK (
        (kind = 'operator' AND role IS NOT NULL AND node IS NULL)
        OR (kind = 'join' AND node IS NOT NULL AND role IS NULL AND expires_at IS NOT NULL)
    )
);

CREATE UNIQUE INDEX token_operator_name_unique ON token (name)
    WHERE kind = 'operator' AND revoked_at IS NULL;

-- Append only. actor: who did it (an operator token's name, a node's, or the control
-- plane itself). Inserts are serialised, so ids become visible in order. A node that
-- repeats a report after a lost answer adds nothing.
CREATE TABLE event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    message text NOT NULL,
    node text,
    client text,
    data jsonb NOT NULL DEFAULT '{}',
    actor text NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX event_reported_once ON event (node, at, kind, client) NULLS NOT DISTINCT
    WHERE actor = 'node';

-- What `anycastle-control export-events` has put into the archive.
CREATE TABLE export (
    id boolean PRIMARY KEY DEFAULT true CONSTRAINT export_one_row CHECK (id),
    last_event bigint NOT NULL DEFAULT 0
);
