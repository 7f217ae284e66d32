package oauth

import (
	"regexp"
	"strconv"

	"github.com/popferry/popferry/internal/fault"
)

const (
	hintAgain   = "sign in again: LOGIN"
	hintBlocked = "a Conditional Access policy blocks it; an administrator sees which in the sign-in logs"
	hintConsent = "an administrator of the tenant has to consent to the application's permissions " +
		"(Entra admin center, Enterprise applications, Permissions); then LOGIN"
	hintDevice = "the tenant lets only devices in that it manages; sign in on one with flow: browser, or have an " +
		"administrator exempt the application from that Conditional Access policy"
	hintSecond = "the user has to set up a second factor in a browser; then LOGIN"
	hintSecret = "make a new secret for the application (App registrations, Certificates & secrets) and use its value, not its ID"
)

// microsoftCodes are the numbers of Microsoft's sign-in service that people meet most.
// They decide only what is advised: Microsoft may change them.
var microsoftCodes = map[int]advised{
	50020:   {fault.Credentials, "the user belongs to another tenant or is a personal account; check tenant and who signed in"},
	50034:   {fault.Credentials, "the tenant has no such user; check who signed in, and tenant"},
	50053:   {fault.Credentials, "the account is locked after too many attempts; wait, or ask an administrator"},
	50055:   {fault.Credentials, "the password expired; change it, then LOGIN"},
	50057:   {fault.Credentials, "the account is disabled; ask an administrator"},
	50072:   {fault.Credentials, hintSecond},
	50074:   {fault.Credentials, "a second factor is wanted; " + hintAgain},
	50076:   {fault.Credentials, "a second factor is wanted now, by a new rule or from this network; " + hintAgain},
	50078:   {fault.Credentials, "the second factor was too long ago; " + hintAgain},
	50079:   {fault.Credentials, hintSecond},
	50097:   {fault.Credentials, hintDevice},
	50105:   {fault.Credentials, "the application is for assigned users only; assign the user (Enterprise applications, Users and groups)"},
	50129:   {fault.Credentials, hintDevice},
	50131:   {fault.Credentials, hintBlocked},
	50144:   {fault.Credentials, "the password expired in the company's own directory; change it, then LOGIN"},
	50158:   {fault.Credentials, "a further check is wanted; " + hintAgain},
	50173:   {fault.Credentials, "the sign-in was revoked, mostly by a new password; " + hintAgain},
	50194:   {fault.Config, "the application is for one tenant only; set tenant to its domain or ID"},
	53000:   {fault.Credentials, hintDevice},
	53001:   {fault.Credentials, hintDevice},
	53003:   {fault.Credentials, hintBlocked},
	65001:   {fault.Credentials, "nobody consented to the application's permissions yet: LOGIN, or an administrator for all users"},
	65004:   {fault.Credentials, "the permissions were declined; again with LOGIN"},
	70000:   {fault.Credentials, hintAgain},
	70008:   {fault.Credentials, "the sign-in expired; " + hintAgain},
	70011:   {fault.Config, "check scopes, and that they belong to one service"},
	70043:   {fault.Credentials, "the tenant wants a new sign-in from time to time; " + hintAgain},
	90002:   {fault.Config, "there is no such tenant; check tenant"},
	90072:   {fault.Credentials, "the user is not in this tenant; check tenant and who signed in"},
	90094:   {fault.Credentials, hintConsent},
	500011:  {fault.Config, "the tenant does not have the service that scopes names; check scopes and tenant"},
	500113:  {fault.Config, "the application has no redirect address; add http://localhost under Mobile and desktop applications"},
	500341:  {fault.Credentials, "the user was deleted from the tenant; check who signed in, and have an administrator restore the user"},
	530003:  {fault.Credentials, hintDevice},
	700016:  {fault.Config, "the tenant does not know this application; check client_id and tenant"},
	700082:  {fault.Credentials, "the sign-in expired, since it was not used for a long time; " + hintAgain},
	900023:  {fault.Config, "tenant is neither a domain nor an ID; check tenant"},
	7000112: {fault.Credentials, "the application is disabled in this tenant; ask an administrator"},
	7000215: {fault.Credentials, "client_secret is wrong; " + hintSecret},
	7000218: {fault.Config, "the application is no public client: turn on \"Allow public client flows\" where it is registered " +
		"(Authentication), or give its client_secret"},
	7000222: {fault.Credentials, "client_secret expired; " + hintSecret},
	7000229: {fault.Credentials, "the tenant has no service principal for this application: an administrator of it has to " +
		"consent to the application once; check client_id and tenant, too"},
}

var microsoftCode = regexp.MustCompile(`(?i)AADSTS([0-9]{5,9})\b`)

// Numbers finds the numbers in Microsoft's words.
func Numbers(text string) (codes []int) {
	for _, match := range microsoftCode.FindAllStringSubmatch(text, 4) {
		code, err := strconv.Atoi(match[1])
		if err == nil {
			codes = append(codes, code)
		}
	}
	return codes
}
