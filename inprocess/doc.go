// Package inprocess gives a Go program the breakers of its policy files, without a
// proxy. It is for calls that no proxy carries, such as queries of a database.
//
// In: the same policy files as for the control plane, and the calls of the program.
// Out: a breaker by its name, for [breaker.Do]; each transition, to [Options].OnTransition.
// Called by: Go programs that are not Breakwater.
// Never: keeps a goroutine that [Registry.Run] did not start, applies a part of a policy, or shares a breaker with another process.
// Concurrency: a [Registry] is safe for concurrent use; [Registry.Run] runs once at a time.
//
// # How to use it
//
// Open the files, make sure that they have the breakers that the program asks for, and
// run the registry for as long as the program does:
//
//	breakers, err := inprocess.Open(inprocess.Options{}, "/etc/breakwater/policies")
//	if err != nil {
//		return err // every problem of the policy, each with its place
//	}
//	if err := breakers.Require("database", "payments/charge"); err != nil {
//		return err // a name is misspelt, here or in the policy
//	}
//	group.Go(func() error { return breakers.Run(ctx) })
//
// Then put each call into [breaker.Do]:
//
//	err := breaker.Do(ctx, breakers.Breaker("database"), func(ctx context.Context) error {
//		return db.QueryRowContext(ctx, query, id).Scan(&name)
//	})
//
// Ask for the breaker at each call, and do not keep it: asking costs some tens of
// nanoseconds and no memory, and after a reload the name may mean another breaker.
//
// # The parts of a policy that apply in process
//
//   - breaker and mode apply as in the mesh.
//   - timeout: the context of the call ends after this time, and the call counts as a
//     failure, in every mode. A function that ignores its context takes longer, and its
//     call counts as a failure, too.
//   - classify.clientGone: the outcome of a call that returns an error after its own
//     context has ended, because the program cancelled it or gave it less time.
//   - scope: a process is one node, so Node and Mesh mean the same: one breaker for the
//     process, which gets only the process's own calls.
//   - routes: the program chooses the route of a call by the breaker's name. The match of
//     the route is ignored.
//
// The rest is for proxies. Go errors have no status to classify. If an error is an answer
// and not a failure, mark it with [breaker.Expected]. Fallbacks do not apply: the program
// decides itself what to do when a call is rejected, which is when
// errors.Is(err, [breaker.ErrOpen]).
//
// # Without Run
//
// Breakers also work while [Registry.Run] is not running. A breaker then changes its state
// when a call, [Registry.Snapshot] or [Registry.Reload] uses it, according to the time
// that has passed. Three things do not happen: changed files are not noticed, OnTransition
// is not called, and a call that hangs does not open the breaker as slow until the breaker
// is used again.
package inprocess
