module github.com/tandem-io/tandem/scripts/integration

go 1.26.0

replace github.com/tandem-io/tandem => ../..

require (
	github.com/stretchr/testify v1.12.1
	github.com/tandem-io/tandem v0.0.0-00010101000000-000000000000
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
