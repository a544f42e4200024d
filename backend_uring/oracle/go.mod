module github.com/tandem-io/tandem/backend_uring/oracle

go 1.26.0

replace github.com/tandem-io/tandem => ../../

require (
	github.com/pawelgaczynski/giouring v0.0.0-20230826085535-69588b89acb9
	github.com/tandem-io/tandem v0.0.0-00010101000000-000000000000
	golang.org/x/sys v0.49.0
)
