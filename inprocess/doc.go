// Package inprocess gives a Go program the breakers of its policy files, without a
// proxy: for what no proxy carries, such as queries of a database.
//
// In: the policy files that the control plane takes, and the calls of the program.
// Out: a breaker by its name, for [breaker.Do]; each change of state, if one asks for it.
// Called by: Go programs that are not Breakwater.
// Never: keeps a goroutine that [Registry.Run] did not start, takes half of a policy, or shares a breaker with another process.
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
// Ask for the breaker at each call rather than keeping it: that costs some tens of
// nanoseconds and no memory, and after a reload the name may mean another breaker.
//
// # What of a policy holds in process
//
//   - What is under breaker, and mode, as they do in the mesh.
//   - timeout: the context that the call gets ends then, and the call has failed.
//     It holds in every mode. What does not heed its context takes longer, and has failed too.
//   - classify.clientGone: what a call counts as that returns an error after its own
//     context has ended, because the program cancelled it or gave it less time.
//   - scope: a process is a node of its own. So Node and Mesh are the same here, one
//     breaker for the process, which knows only the process's own calls.
//   - routes: the program says which route a call is of, by the breaker's name; what a
//     route matches does not matter.
//
// The rest is for proxies. Errors of Go have no status to classify: one that is an
// answer, not a failure, is marked by [breaker.Expected]. And what to do in place of a
// call that was rejected, when errors.Is(err, [breaker.ErrOpen]), the program knows better
// than a fallback does.
//
// # Without Run
//
// A breaker works without anybody running the registry: it changes its state when a
// call, [Registry.Snapshot] or [Registry.Reload] looks at it, as of the time that has
// passed. What is missing is that changed files are noticed, that OnTransition is
// called, and that a call which hangs opens the breaker as slow while nobody looks.
package inprocess
