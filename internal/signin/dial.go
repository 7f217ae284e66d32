package signin

import (
	"context"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// Dial logs in as accounts say. Tokens may be nil where no side has OAuth.
type Dial struct {
	Tokens Tokens
	// Learned keeps what logins taught; nil learns nothing.
	Learned *Learned
}

// Source logs in to the maildrop of an account.
func (d Dial) Source(ctx context.Context, a plan.Account) (m *pop.Maildrop, err error) {
	leave, err := d.Learned.enter(ctx, a.Source)
	if err != nil {
		return nil, err
	}
	defer func() { leave(err) }()
	noExternal, settle, err := d.Learned.certificate(ctx, a.Source)
	if err != nil {
		return nil, err
	}
	defer func() { settle(m, err) }()
	err = ErrUntried // of a panic
	return withToken(d.Tokens, a.Name, a.Source, func(token tokenFunc) (*pop.Maildrop, error) {
		m, err := pop.Dial(ctx, pop.Options{
			Endpoint: a.Source.Endpoint, Username: a.Source.Username, AuthorizeAs: a.Source.AuthorizeAs,
			Password: a.Source.Secret, Token: token, Auth: a.Source.Auth, NoScram: d.Learned.Has(scramOf(a.Source)),
			NoExternal: noExternal, Known: d.Learned.offers(),
		})
		if err != nil {
			d.Learned.learn(a.Source, "", err)
			return nil, err
		}
		d.Learned.learn(a.Source, m.RefusedWay(), nil)
		d.Learned.leave(a.Source, m.LeftOut())
		return m, nil
	})
}

// Destination logs in to the destination of an account.
func (d Dial) Destination(ctx context.Context, a plan.Account) (c *imapdst.Conn, err error) {
	leave, err := d.Learned.enter(ctx, a.Destination)
	if err != nil {
		return nil, err
	}
	defer func() { leave(err) }()
	noExternal, settle, err := d.Learned.certificate(ctx, a.Destination)
	if err != nil {
		return nil, err
	}
	defer func() { settle(c, err) }()
	err = ErrUntried // of a panic
	return withToken(d.Tokens, a.Name, a.Destination, func(token tokenFunc) (*imapdst.Conn, error) {
		c, err := imapdst.Dial(ctx, imapdst.Options{
			Endpoint: a.Destination.Endpoint, Username: a.Destination.Username, AuthorizeAs: a.Destination.AuthorizeAs,
			Password: a.Destination.Secret, Token: token, Auth: a.Destination.Auth, NoScram: d.Learned.Has(scramOf(a.Destination)),
			NoExternal: noExternal,
			Forbidden:  imapdst.Forbidden(a.Destination.Ways.Forbidden),
		})
		if err != nil {
			d.Learned.learn(a.Destination, "", err)
			return nil, err
		}
		d.Learned.learn(a.Destination, c.RefusedWay(), nil)
		d.Learned.leave(a.Destination, c.LeftOut())
		return c, nil
	})
}
