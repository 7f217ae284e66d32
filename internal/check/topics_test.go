package check_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/popferry/popferry/internal/check"
)

func names(list []check.Topic) (names []string) {
	for _, t := range list {
		names = append(names, t.Name)
	}
	return names
}

// TestTopics: each has all that is promised of it, and is found by its name.
func TestTopics(t *testing.T) {
	seen := map[string]bool{}
	for _, topic := range check.Topics() {
		if topic.Name == "" || topic.Symptom == "" || topic.Cause == "" || topic.Check == "" || seen[topic.Name] {
			t.Errorf("%+v: incomplete, or there twice", topic)
		}
		seen[topic.Name] = true
		if len(topic.Name) > 25 || utf8.RuneCountInString(topic.Symptom) > 53 || strings.HasSuffix(topic.Symptom, ".") {
			t.Errorf("%s: does not fit into a list: %q", topic.Name, topic.Symptom)
		}
		if got := names(check.Explain(topic.Name)); !slices.Equal(got, []string{topic.Name}) {
			t.Errorf("Explain(%q) = %q", topic.Name, got)
		}
		if got := names(check.Explain(topic.Symptom)); !slices.Contains(got, topic.Name) {
			t.Errorf("Explain(%q) = %q", topic.Symptom, got)
		}
	}
}

// TestExplain: people find what they came with, in words of their own.
func TestExplain(t *testing.T) {
	for asked, want := range map[string]string{
		"you can receive but not send":             "cannot-send",
		"I can receive mail but I can't send":      "cannot-send",
		"sending fails":                            "cannot-send",
		"smtp":                                     "cannot-send",
		"can send but not receive":                 "cannot-receive",
		"no new mail is coming in, nothing":        "cannot-receive",
		"my mail is only on my phone":              "one-device",
		"Mail seen on one device only":             "one-device",
		"emails on laptop missing on phone":        "one-device",
		"app password":                             "app-password",
		"2FA":                                      "app-password",
		"folder does not show in Thunderbird":      "not-subscribed",
		"Outlook: authenticated but not connected": "not-connected",
		"device registration pending":              "device-approval",
		"AADSTS65001":                              "modern-auth",
		"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled": "cannot-send",
		"device must be registered first":                                               "device-approval",
		"AADSTS50076: Due to a configuration change made by your administrator":         "modern-auth",
		"-ERR [AUTH] Application-specific password required":                            "app-password",
		"NO [ALERT] Too many simultaneous connections. (Failure)":                       "too-many-connections",
		"x509: certificate signed by unknown authority":                                 "certificate-unknown-ca",
		"wrong host":                        "unknown-host",
		"firewall timeout":                  "timeout",
		"mailbox full":                      "quota",
		"sent items missing":                "sent-missing",
		"everything is unread":              "read-marks",
		"mailbox locked by another session": "maildrop-locked",
		"certificate expired":               "certificate-expired",
		"Plaintext password":                "plaintext-refused",

		"certificate verify failed":                                                                           "certificate-unknown-ca",
		"CERTIFICATE_VERIFY_FAILED":                                                                           "certificate-unknown-ca",
		"TLS certificate verification failed":                                                                 "certificate-unknown-ca",
		"unable to verify the first certificate":                                                              "certificate-unknown-ca",
		"the certificate could not be verified":                                                               "certificate-unknown-ca",
		"self-signed certificate in certificate chain":                                                        "certificate-unknown-ca",
		"certificate verify failed: self-signed certificate":                                                  "self-signed",
		"certificate verify failed: certificate has expired":                                                  "certificate-expired",
		"certificate verify failed: certificate is not yet valid":                                             "certificate-not-yet-valid",
		"certificate verify failed: Hostname mismatch, certificate is not valid for 'a'":                      "certificate-name",
		"x509: certificate is valid for a.example.org, not b.example.org":                                     "certificate-name",
		"x509: certificate has expired or is not yet valid: current time 2026-01-01T00:00:00Z is after 2025":  "certificate-expired",
		"x509: certificate has expired or is not yet valid: current time 2020-01-01T00:00:00Z is before 2025": "certificate-not-yet-valid",
		"folder not shown in Thunderbird":                                                                     "not-subscribed",
		"the folder is missing in Outlook":                                                                    "not-subscribed",
		"folders do not appear":                                                                               "not-subscribed",
		"I can't see the folder":                                                                              "not-subscribed",
		"folders are missing":                                                                                 "sent-missing",
		"my folders did not come":                                                                             "sent-missing",
		"sent folder does not appear":                                                                         "sent-missing",
		"the folder can't be opened":                                                                          "folder-refused",
		"cannot create folder":                                                                                "folder-refused",
		"can't write to the folder":                                                                           "read-only",
		"mail does not appear on my phone":                                                                    "one-device",
		"I can't see my mail":                                                                                 "one-device",
		"new mail does not appear":                                                                            "cannot-receive",
		"verify sign-in":                                                                                      "device-approval",
		"login refused after migration":                                                                       "login-refused",
	} {
		got := names(check.Explain(asked))
		if len(got) == 0 || got[0] != want && !(len(got) > 1 && got[1] == want) {
			t.Errorf("%q: %q, want %s", asked, got, want)
		}
		if len(got) > 3 {
			t.Errorf("%q: %d answers", asked, len(got))
		}
	}
	for _, asked := range []string{"", "the and of", "xyzzy"} {
		if got := check.Explain(asked); len(got) != 0 {
			t.Errorf("%q: %q", asked, names(got))
		}
	}
}

// TestExplainAnswers: what is known of an answer of an OAuth provider counts for more than
// what is true of many.
func TestExplainAnswers(t *testing.T) {
	for asked, want := range map[string]struct{ topic, words string }{
		"AADSTS7000215": {"oauth-provider", "client_secret is wrong"},
		"aadsts50129: Device is not workplace joined. Workplace join is required": {"device-approval", "flow: browser"},
		"AADSTS500341: The user account has been deleted from the directory":      {"wrong-tenant", "was deleted"},
		"Error 400: admin_policy_enforced":                                        {"modern-auth", "API controls"},
		"Access blocked: org_internal":                                            {"wrong-tenant", "Audience"},
		"AADSTS99999":                                                             {"modern-auth", "popferry login"},
	} {
		got := check.Explain(asked)
		if len(got) != 1 || got[0].Name != want.topic || !strings.Contains(got[0].Check, want.words) {
			t.Errorf("%q: %+v", asked, got)
		}
	}
}

// TestDenied: what somebody says not to work comes first, whatever else is said to work.
func TestDenied(t *testing.T) {
	for asked, want := range map[string]string{
		"can send but not receive":              "cannot-receive",
		"can receive but not send":              "cannot-send",
		"I can send and can’t receive":          "cannot-receive",
		"can not receive, sending works":        "cannot-receive",
		"you can send mail but receive none":    "cannot-receive",
		"can't send":                            "cannot-send",
		"sending does not work":                 "cannot-send",
		"unable to send":                        "cannot-send",
		"mail does not arrive":                  "cannot-receive",
		"can not login":                         "login-refused",
		"can't log in: POP3 access is disabled": "switched-off",
		"my mail is missing":                    "nothing-listed",
		"old mail missing after migration":      "nothing-listed",
		"new mail missing":                      "cannot-receive",
		"starttls is missing":                   "starttls-missing",
		"folder not shown in Thunderbird":       "not-subscribed",
	} {
		if got := names(check.Explain(asked)); len(got) == 0 || got[0] != want {
			t.Errorf("%q: %q, want %s first", asked, got, want)
		}
	}
}
