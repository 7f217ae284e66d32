package oauth_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/oauthd"
	"github.com/popferry/popferry/internal/oauth"
	"github.com/popferry/popferry/plan"
)

func TestMicrosoftSays(t *testing.T) {
	for number, want := range map[string]struct {
		code fault.Code
		hint string
	}{
		"65001": {fault.Credentials, "nobody consented to the application's permissions yet: popferry login alice"},
		"50076": {fault.Credentials, "second factor"}, "50129": {fault.Credentials, "only devices"},
		"50097": {fault.Credentials, "only devices"}, "530003": {fault.Credentials, "only devices"},
		"7000215": {fault.Credentials, "its value, not its ID"}, "700016": {fault.Config, "check client_id and tenant"},
		"50034": {fault.Credentials, "no such user"}, "50173": {fault.Credentials, "sign in again: popferry login alice"},
		"7000218": {fault.Config, "Allow public client flows"}, "90094": {fault.Credentials, "has to consent"},
		"50072": {fault.Credentials, "set up a second factor"}, "50131": {fault.Credentials, "sign-in logs"},
		"500341": {fault.Credentials, "was deleted"}, "900023": {fault.Config, "check tenant"},
		"7000229": {fault.Credentials, "service principal"},
		"99999":   {fault.Credentials, "sign in again: popferry login alice"},
	} {
		err := whenRefused(t, `"invalid_grant","error_description":"AADSTS`+number+
			`: In Microsoft's words.\r\nTrace ID: 1\r\nCorrelation ID: 2","error_codes":[1]`)
		refused(t, err, want.code, "(AADSTS"+number+": In Microsoft's words.)", want.hint)
	}
}

func TestGoogleSays(t *testing.T) {
	for answer, want := range map[string]struct {
		code fault.Code
		hint string
	}{
		`"admin_policy_enforced"`:                                                    {fault.Credentials, "App access control); then popferry login alice"},
		`"org_internal","error_description":"For the organisation."`:                 {fault.Credentials, "its own organisation"},
		`"deleted_client","error_description":"The OAuth client was deleted."`:       {fault.Config, "make a client again"},
		`"invalid_grant","error_description":"reauth related error (invalid_rapt)"`:  {fault.Credentials, "exempt the application"},
		`"invalid_grant","error_description":"Token has been expired or revoked."`:   {fault.Credentials, "sign in again"},
		`"some_new_word","error_description":"What nobody has heard of before yet."`: {fault.Config, "check the addresses"},
	} {
		refused(t, whenRefused(t, answer), want.code, want.hint)
	}
}

// whenRefused is what is made of a refusal with this error.
func whenRefused(t *testing.T, answer string) (err error) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, oauthd.Options{})
		b.login()
		k := oauth.New(oauth.Options{Dir: b.dir, Transport: direct{oauthd.New(base, oauthd.Options{
			Reply: instead("/token", 400, "application/json", `{"error":`+answer+"}")})}})
		_, err = k.Token(context.Background(), "alice", endpoint(plan.DeviceFlow))
	})
	return err
}

// TestAdvice: the same is known without an account.
func TestAdvice(t *testing.T) {
	for text, want := range map[string]string{
		"AADSTS7000215: Invalid client secret provided.": "client_secret is wrong",
		"aadsts50173":                      "sign in again: popferry login with the name of the account",
		"Error 400: admin_policy_enforced": "API controls",
		"AADSTS99999":                      "",
		"":                                 "",
	} {
		if got := oauth.Advice(text); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: %q", text, got)
		}
	}
}
