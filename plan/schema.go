package plan

import _ "embed" // the schema

// Schema is a JSON schema of accounts.yaml (draft 7), for editors. It knows the keys
// and the forms of their values; [Load] knows more.
//
//go:embed accounts.schema.json
var Schema []byte
