module github.com/tandem-io/tandem

go 1.26.0

require golang.org/x/sys v0.49.0

require pgregory.net/rapid v1.3.0

require github.com/pawelgaczynski/giouring v0.0.0-20230826085535-69588b89acb9

require (
	github.com/gobwas/ws v1.5.0
	golang.org/x/net v0.62.0
)

require github.com/gobwas/httphead v0.1.0 // indirect

require (
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	github.com/stretchr/testify v1.11.1
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
