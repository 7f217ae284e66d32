package oauth

import "github.com/popferry/popferry/internal/fault"

// googleWords are errors of Google's that stand for themselves, or in its description of
// an ordinary one. They decide only what is advised.
var googleWords = map[string]advised{
	"admin_policy_enforced": {fault.Credentials, "the administrator of the Workspace domain has to trust the application " +
		"(Admin console, Security, API controls, App access control); then LOGIN"},
	"org_internal": {fault.Credentials, "the application is for the people of its own organisation; check who signed in, or " +
		"set its Audience to External (Google Auth Platform)"},
	"deleted_client": {fault.Config, "the application was deleted; make a client again (Google Auth Platform, Clients), " +
		"and give its client_id and client_secret"},
	"invalid_rapt": {fault.Credentials, "the Workspace domain lets a sign-in last some hours only (Google Cloud session " +
		"control); have its administrator exempt the application, then LOGIN"},
}
