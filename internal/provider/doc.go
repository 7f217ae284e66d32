// Package provider is what is known of large mail providers: where their servers
// are, how one signs in, what has to be switched on first, what they limit, what
// they do in their own way, and what their refusals mean.
//
// It is data: a file in data/ for each provider, whose name is the provider's ID.
// [ByDomain], [ByHost] and [ByMX] find a provider, [Provider.Diagnose] explains what
// its servers say. A provider that is not in the table is no error; nothing may
// depend on one being there, and what a server says itself counts for more.
//
// An entry holds what was found in the provider's own pages, in Mozilla's database
// of providers, or in the answers of the servers; what is uncertain is left out. A page
// is one that was read, or that a source names; of several, the one likelier to stay.
package provider
