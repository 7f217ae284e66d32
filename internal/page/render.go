package page

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"path"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/report"
)

const (
	stateHeld     = "held"
	messagesShown = 500
)

//go:embed assets
var assets embed.FS

// assetNames are the files that are sent as they are.
var assetNames = []string{"page.css", "page.js", "icon.svg"}

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"safe":  report.Harmless,
	"name":  fault.Escape,
	"hint":  report.Hint,
	"size":  report.Size,
	"count": report.Count,
	"comma": func(n int) string { return humanize.Comma(int64(n)) },
	"took":  func(s float64) string { return report.Duration(time.Duration(s * float64(time.Second))) },
}).ParseFS(assets, "assets/*.html"))

// layout is what all pages have.
type layout struct {
	Title, Build string
	At           moment
	// Undelivered are the ways by which news can't be brought.
	Undelivered []way
}

// way is one way to bring news, and when it is seen.
type way struct {
	bridge.Way
	now time.Time
}

// Failing is since when it does.
func (w way) Failing() moment { return moment{w.Since, w.now} }

func (s *site) layout(title string, now time.Time) layout {
	l := layout{Title: title, Build: s.Build, At: moment{now, now}}
	for _, w := range s.Ways() {
		if w.Error != nil {
			l.Undelivered = append(l.Undelivered, way{w, now})
		}
	}
	return l
}

func asset(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, assets, path.Join("assets", name))
	})
}

func (s *site) overview(w http.ResponseWriter, r *http.Request) {
	snapshot, ok := s.shown(w, r)
	if !ok {
		return
	}
	o := newOverview(snapshot, s.days(r.Context(), snapshot.Now), newFilter(r.URL.Query()))
	o.layout = s.layout(o.title(), snapshot.Now)
	render(w, http.StatusOK, "overview.html", o)
}

func (s *site) account(w http.ResponseWriter, r *http.Request) {
	snapshot, ok := s.shown(w, r)
	if !ok {
		return
	}
	for _, a := range snapshot.Accounts {
		if a.Name == r.PathValue("name") {
			d := detail{row: newRow(a, snapshot.Now, s.days(r.Context(), snapshot.Now))}
			d.layout = s.layout(fault.Escape(a.Name)+" – popferry", snapshot.Now)
			render(w, http.StatusOK, "account.html", d)
			return
		}
	}
	refuse(w, http.StatusNotFound, "There is no such account. "+
		"It may have another name by now, or be in accounts.yaml no more.")
}

// refuse answers with a page that says why there is nothing to see.
func refuse(w http.ResponseWriter, code int, why string) {
	render(w, code, "refuse.html", struct {
		layout
		Why string
	}{layout{Title: "popferry"}, why})
}

// render sends a page only once it is whole.
func render(w http.ResponseWriter, code int, name string, data any) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "popferry can't make this page; please report it", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}
