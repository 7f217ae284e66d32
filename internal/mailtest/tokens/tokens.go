// Package tokens is an OAuth authorization server for tests, or as much of it as a mail server
// asks: what a token is worth (RFC 7662, token introspection), over HTTP on the loopback interface.
package tokens

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Server knows tokens and whose they are. It is safe for concurrent use.
type Server struct {
	http *httptest.Server

	mu    sync.Mutex
	users map[string]string // by token
}

// Start starts a server. The caller has to call [Server.Close].
func Start() *Server {
	s := &Server{users: map[string]string{}}
	s.http = httptest.NewServer(http.HandlerFunc(s.introspect))
	return s
}

// URL is where to ask.
func (s *Server) URL() string { return s.http.URL + "/introspect" }

// Issue makes a token good for a user.
func (s *Server) Issue(token, user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[token] = user
}

// Revoke makes a token worthless.
func (s *Server) Revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.users, token)
}

// Close ends the server.
func (s *Server) Close() { s.http.Close() }

// introspect answers a form with a token (RFC 7662 §2).
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	user, known := s.users[r.PostFormValue("token")]
	s.mu.Unlock()
	answer := map[string]any{"active": known}
	if known {
		answer["username"], answer["scope"] = user, "mail"
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer) // a mail server that hung up needs no answer
}
