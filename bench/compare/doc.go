// Package compare decides whether servers became slower from one run to another, and how sure that is.
package compare
