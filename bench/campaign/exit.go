package campaign

// ExitUnsupported is the exit status of serve if this machine cannot run the implementation.
const ExitUnsupported = 3
