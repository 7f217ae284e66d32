package imapdst

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// usualNames are what servers and mail programs call the folders of RFC 6154 where
// they don't mark them: first in English, then in other languages, in the order in
// which they are looked for.
var usualNames = map[imap.MailboxAttr][]string{
	imap.MailboxAttrArchive: {
		"Archive", "Archives", "Archiv", "Archivio", "Archivo", "Archief", "Arquivo", "Arkiv", "Arkisto",
		"Archiwum", "Archív", "Archívum", "Arhiva", "Arşiv", "Архив", "Архів", "アーカイブ", "存档", "归档", "封存", "보관함",
	},
	imap.MailboxAttrDrafts: {
		"Drafts", "Draft", "Entwürfe", "Brouillons", "Borradores", "Bozze", "Concepten", "Rascunhos",
		"Utkast", "Kladder", "Luonnokset", "Wersje robocze", "Szkice", "Koncepty", "Rozepsané", "Piszkozatok",
		"Ciorne", "Taslaklar", "Черновики", "Чернетки", "Πρόχειρα", "下書き", "草稿", "草稿箱",
		"임시 보관함", "임시보관함",
	},
	imap.MailboxAttrJunk: {
		"Junk", "Spam", "Junk E-mail", "Junk Email", "Junk Mail", "Bulk Mail", "Unerwünscht", "Junk-E-Mail",
		"Spamverdacht", "Courrier indésirable", "Indésirables", "Pourriel", "Correo no deseado", "No deseado",
		"Posta indesiderata", "Ongewenste e-mail", "Ongewenst", "Lixo Eletrônico", "Correio Não Solicitado",
		"Skräppost", "Uønsket e-mail", "Uønsket post", "Søppelpost", "Roskaposti", "Wiadomości-śmieci",
		"Nevyžádaná pošta", "Nevyžiadaná pošta", "Levélszemét", "Gereksiz", "Önemsiz E-posta", "Спам",
		"Ανεπιθύμητη αλληλογραφία", "Ανεπιθύμητα", "迷惑メール", "垃圾邮件", "垃圾郵件", "스팸", "스팸메일함", "정크 메일",
	},
	imap.MailboxAttrSent: {
		"Sent", "Sent Items", "Sent Messages", "Sent Mail", "Sent-Mail", "Gesendet", "Gesendete Elemente",
		"Gesendete Objekte", "Gesendete Nachrichten", "Gesendete Mails", "Envoyés", "Éléments envoyés",
		"Messages envoyés", "Objets envoyés", "Enviados", "Elementos enviados", "Mensajes enviados",
		"Posta inviata", "Inviata", "Messaggi inviati", "Verzonden items", "Verzonden", "Verzonden berichten",
		"Itens Enviados", "Mensagens enviadas", "Skickat", "Skickade objekt", "Sendt post", "Sendte elementer",
		"Sendt", "Lähetetyt", "Lähetetyt viestit", "Wysłane", "Elementy wysłane", "Odeslaná pošta", "Odeslané",
		"Odoslaná pošta", "Elküldött elemek", "Elementos enviados", "Trimise", "Gönderilmiş Öğeler",
		"Отправленные", "Надіслані", "Απεσταλμένα", "送信済みアイテム", "送信済みメール", "送信済みトレイ",
		"送信済み", "已发送邮件", "已发送", "寄件備份", "보낸 편지함", "보낸편지함", "보낸메일함",
	},
	imap.MailboxAttrTrash: {
		"Trash", "Deleted Items", "Deleted Messages", "Bin", "Papierkorb", "Gelöschte Elemente",
		"Gelöschte Objekte", "Gelöscht", "Corbeille", "Éléments supprimés", "Papelera", "Elementos eliminados",
		"Cestino", "Posta eliminata", "Prullenbak", "Verwijderde items", "Lixeira", "Lixo", "Itens Excluídos",
		"Papperskorgen", "Borttagna objekt", "Papirkurv", "Slettet post", "Slettede elementer", "Roskakori",
		"Poistetut", "Kosz", "Elementy usunięte", "Koš", "Odstraněná pošta", "Kôš", "Törölt elemek", "Coș",
		"Çöp Kutusu", "Silinmiş Öğeler", "Корзина", "Удаленные", "Кошик", "Διαγραμμένα", "Απορρίμματα", "ごみ箱", "ゴミ箱",
		"削除済みアイテム", "已删除邮件", "已删除", "刪除的郵件", "휴지통", "지운 편지함",
	},
}

// special finds the folder of a use among the user's own: the one that the server marks,
// else the one that is usually called so, at the top, in INBOX, or among Gmail's.
func (l *layout) special(use imap.MailboxAttr, listed []*imap.ListData) (mailbox string, found bool) {
	for _, entry := range listed {
		marked := func(a imap.MailboxAttr) bool { return strings.EqualFold(string(a), string(use)) }
		if slices.ContainsFunc(entry.Attrs, marked) && selectable(entry) && !l.isForeign(entry.Mailbox) {
			return entry.Mailbox, true
		}
	}
	byName := map[string]string{}
	for _, entry := range listed {
		name, own := l.name(entry.Mailbox)
		key := strings.ToLower(afterAny(name, "INBOX/", "[Gmail]/", "[Google Mail]/"))
		if _, taken := byName[key]; own && !taken && selectable(entry) {
			byName[key] = entry.Mailbox
		}
	}
	for _, name := range usualNames[use] {
		if mailbox := byName[strings.ToLower(name)]; mailbox != "" {
			return mailbox, true
		}
	}
	return "", false
}

func afterAny(name string, prefixes ...string) string {
	for _, prefix := range prefixes {
		if after, ok := strings.CutPrefix(name, prefix); ok {
			return after
		}
	}
	return name
}
