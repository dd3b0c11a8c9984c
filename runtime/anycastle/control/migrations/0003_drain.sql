-- Nodes that operators want out of service. No row: the node is to serve.
CREATE TABLE node_drain (
    node text PRIMARY KEY REFERENCES node ON DELETE CASCADE,
    since timestamptz NOT NULL,
    deadline timestamptz NOT NULL,
    reason text NOT NULL,
    force boolean NOT NULL,
    actor text NOT NULL
);
