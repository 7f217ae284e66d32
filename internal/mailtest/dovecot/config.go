package dovecot

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// imapCapabilities is what Dovecot 2.3 announces after a login. The setting imap_capability
// replaces the whole list, so leaving one out means giving all the others.
const imapCapabilities = "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT SORT=DISPLAY " +
	"THREAD=REFERENCES THREAD=REFS THREAD=ORDEREDSUBJECT MULTIAPPEND URL-PARTIAL CATENATE " +
	"UNSELECT CHILDREN NAMESPACE UIDPLUS LIST-EXTENDED I18NLEVEL=1 CONDSTORE QRESYNC ESEARCH " +
	"ESORT SEARCHRES WITHIN CONTEXT=SEARCH LIST-STATUS BINARY MOVE SNIPPET=FUZZY PREVIEW=FUZZY " +
	"PREVIEW STATUS=SIZE SAVEDATE LITERAL+ NOTIFY SPECIAL-USE"

// configTemplate is filled in by config. Login processes serve any number of connections
// (service_count = 0) and are there before the first one; mail processes are used again. Nothing
// changes user or root directory, so that the server runs without privileges. Without its socket
// anvil does not slow down those who gave a wrong password before.
const configTemplate = `
protocols = imap pop3
listen = 127.0.0.1
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/dovecot.log
log_timestamp = "%Y-%m-%d %H:%M:%S "
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
default_process_limit = 2000
default_client_limit = 10000
default_vsz_limit = 0
stats_writer_socket_path =
auth_failure_delay = 0
auth_mechanisms = plain login
auth_username_format = %u
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
ssl_min_protocol = TLSv1.2
first_valid_uid = 1
mail_fsync = {fsync}
mail_save_crlf = yes
mail_max_userip_connections = 10000
mailbox_list_index = yes
{capability}

passdb {
  driver = static
  args = password={password}
}
userdb {
  driver = static
  args = uid={uid} gid={gid} home={dir}/home/%u
}
namespace inbox {
  inbox = yes
  prefix = {prefix}
  separator = {separator}
  mailbox Archive {
    special_use = \Archive
  }
  mailbox Drafts {
    special_use = \Drafts
  }
  mailbox Junk {
    special_use = \Junk
  }
  mailbox Sent {
    special_use = \Sent
  }
  mailbox Trash {
    special_use = \Trash
  }
}
protocol pop3 {
  mail_location = maildir:{dir}/{store}/%u
}
protocol imap {
  mail_location = maildir:{dir}/imap/%u
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  chroot =
  service_count = 0
  process_min_avail = 1
  inet_listener imap {
    port = {imap}
  }
  inet_listener imaps {
    port = {imaps}
    ssl = yes
  }
}
service pop3-login {
  chroot =
  service_count = 0
  process_min_avail = 1
  inet_listener pop3 {
    port = {pop3}
  }
  inet_listener pop3s {
    port = {pop3s}
    ssl = yes
  }
}
service imap {
  service_count = 100
}
service pop3 {
  service_count = 100
}
{quota}
{extra}
`

// quotaTemplate counts in the folders' indexes. Without the grace a message that goes beyond the
// quota is refused.
const quotaTemplate = `
protocol imap {
  mail_plugins = quota imap_quota
}
plugin {
  quota = count:User quota{noenforcing}
  quota_vsizes = yes
  quota_grace = 0
  quota_rule = *:{rule}
}
`

// config returns the text of dovecot.conf.
func (s *Server) config() string {
	separator := "/"
	if prefix := s.options.Prefix; prefix != "" {
		separator = prefix[len(prefix)-1:]
	}
	fsync := s.options.Fsync
	if fsync == "" {
		fsync = "never"
	}
	return strings.NewReplacer(
		"{store}", s.pop3Store(), "{dir}", s.Dir,
		"{user}", s.runner.user, "{group}", s.runner.group,
		"{uid}", fmt.Sprint(s.runner.uid), "{gid}", fmt.Sprint(s.runner.gid),
		"{cert}", s.Files.Cert, "{key}", s.Files.Key,
		"{fsync}", fsync,
		"{capability}", s.capability(),
		"{password}", s.Password,
		"{prefix}", s.options.Prefix, "{separator}", separator,
		"{imap}", port(s.IMAP), "{imaps}", port(s.IMAPS),
		"{pop3}", port(s.POP3), "{pop3s}", port(s.POP3S),
		"{quota}", s.quota(),
		"{extra}", s.options.Extra,
	).Replace(configTemplate)
}

// quota returns the settings of the quota plugin, or nothing.
func (s *Server) quota() string {
	if s.options.Quota == "" {
		return ""
	}
	noenforcing := ""
	if s.options.SoftQuota {
		noenforcing = ":noenforcing"
	}
	return strings.NewReplacer("{rule}", s.options.Quota, "{noenforcing}", noenforcing).
		Replace(quotaTemplate)
}

// capability returns the imap_capability line, or nothing where Dovecot's own list will do.
func (s *Server) capability() string {
	o := s.options
	if len(o.WithoutIMAP) == 0 && len(o.AlsoIMAP) == 0 {
		return ""
	}
	list := slices.DeleteFunc(strings.Fields(imapCapabilities), func(name string) bool {
		return slices.ContainsFunc(o.WithoutIMAP, func(without string) bool {
			return strings.EqualFold(name, without)
		})
	})
	return "imap_capability = " + strings.Join(append(list, o.AlsoIMAP...), " ")
}

func port(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "0"
	}
	return port
}
