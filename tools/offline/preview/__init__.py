"""Resource plugins that only preview: what `make preview` runs instead of a cloud's own.

One plugin serves any package whose Python SDK is installed (`aws`, `command`, ...): the SDK's classes
say which outputs a resource has. Nothing here can reach a cloud; there is no client in it.

    package    a resource's outputs, read from the installed SDK
    replacing  properties whose change replaces a resource (the SDK does not say)   (pure)
    stand_ins  values for outputs that only the cloud would know, all marked        (pure)
    functions  answers to data sources                                              (pure)
    guard      whether this run may pretend to create, and where
    provider   the gRPC edge to the engine

Preview: Check returns its inputs, Diff compares, Create answers with the inputs and unknown outputs.
Pretending: `tools/preview` records what a stack holds today into a throw-away backend, so that the
diff of a change can be shown against it. Create then answers with marked stand-ins, and only where
the backend is such a one (guard). Update and Delete are refused, always.
"""
