// Package format turns numbers into text for tables, charts and messages, the same way everywhere.
package format
