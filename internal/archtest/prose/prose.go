// Package prose finds habits that make sentences hard to read.
//
// In: a passage of text.
// Out: each bad habit in it, with the line, and an example of how to say it plainly.
// Called by: archtest, for the comments of Go files and for the pages.
// Never: reads a file, or judges code, quotations and the targets of links.
// Concurrency: functions of their arguments only.
package prose

import (
	"fmt"
	"regexp"
	"strings"
)

// rule is a habit that makes sentences hard to read.
type rule struct {
	name string
	// found matches the habit in a sentence, in any case of letters.
	found *regexp.Regexp
	// unless, where it is set, excuses a match. It is matched against the sentence from the match on.
	unless *regexp.Regexp
	// opening rules look at the beginning of a sentence, or of a clause after a colon or semicolon. They do
	// not apply to headings and cells of tables, which need not be sentences, nor to questions.
	opening bool
	advice  string
	bad     string // an example
	plain   string // the same in plain English
}

// habit compiles an expression that ignores case.
func habit(expression string) *regexp.Regexp { return regexp.MustCompile(`(?i)` + expression) }

// opening is a habit at the beginning of a sentence or clause.
func opening(expression string) *regexp.Regexp { return habit(`(?:^|[:;] )` + expression) }

// rules are the habits that we had. Each is blunt: write the sentence in another way where a rule is
// wrong about it.
var rules = []rule{
	{
		name: "tells-whether", found: habit(`\b(?:tells?|says?) (?:whether|if)\b`),
		advice: "write 'reports whether'",
		bad:    "covers tells whether a package is the one that the pattern names.",
		plain:  "covers reports whether the pattern names the package.",
	},
	{
		name: "what-subject", opening: true, found: opening(`what\b`),
		advice: "begin with the noun that 'what' stands for",
		bad:    "What was refused is sent again.",
		plain:  "A refused resource is sent again.",
	},
	{
		name: "is-what", found: habit(`\b(?:is|are|was|were) what\b`),
		advice: "say it with a noun and a verb",
		bad:    "route is what the server knows of one breaker.",
		plain:  "target holds the server's state for one breaker.",
	},
	{
		name: "that-of", found: habit(`\b(?:that|those) of\b`), unless: habit(`^that of (?:course|these|those|the \d)`),
		advice: "repeat the noun, or use the possessive",
		bad:    "Its layer is that of its node.",
		plain:  "Its layer is its node's layer.",
	},
	{
		name: "no-noun", opening: true, found: opening(`(?:those|one|ones|others|such) (?:that|which|who|whose|with|without|in|of|from|are|is|was|were|has|have)\b`),
		unless: habit(`^(?:[:;] )?one (?:of|in|is)\b`),
		advice: "begin with a noun",
		bad:    "One that is not resolved frees its slot.",
		plain:  "A permit that is not resolved frees its slot.",
	},
	{
		name: "fronted-of", opening: true, found: opening(`of \w`), unless: habit(`^(?:[:;] )?of (?:course|these|those|them)\b`),
		advice: "begin with the subject of the sentence",
		bad:    "Of two gates with one key the last stands.",
		plain:  "The last of two gates with the same key wins.",
	},
	{
		name: "so-many", found: habit(`\b(?:for )?so (?:many|much|long|often)\b`), unless: habit(`^(?:for )?so \w+ (?:that|as)\b`),
		advice: "name the number, the time or the amount",
		bad:    "A call stands for so many calls.",
		plain:  "A logged call stands for n calls.",
	},
	{
		name: "people", found: habit(`\b(?:nobody|no one|somebody|someone|anybody|anyone|everybody|everyone|people|persons?|whoever|whomever|he|him|his|she)\b`),
		advice: "name the caller, the operator, the client, the proxy or the function",
		bad:    "Nobody may change breakers.",
		plain:  "Changes by hand are refused.",
	},
	{
		name: "who-subject", opening: true, found: opening(`who\b`),
		advice: "name the caller, the operator, the client or the proxy",
		bad:    "Who has no stream gives way to who comes.",
		plain:  "A new proxy takes the place of one without a stream.",
	},
	{
		name: "is-of", found: habit(`\b(?:is|are|was|were|be|been|being)(?: (?:not|no longer|only|also|still|always|never|mostly|itself))? of\b`),
		unless: habit(`^\w+(?: \w+)?(?: \w+)? of (?:use|interest|help|type|no use|importance)\b`),
		advice: "use 'belongs to', 'comes from', or the possessive",
		bad:    "A report later than that is of its time.",
		plain:  "A later report gets the time of the report.",
	},
	{
		name: "no-more", found: habit(`\b(?:no|any) ?more\b(?:[.,;:)]|$| (?:and|or|is|are|was|were|for|by|of|in|at|from|since|when|where|while|once|after|before|until|either|then|as|but|to)\b)`),
		unless: habit(`^(?:no|any) more (?:of (?:the|its|our|these|those)|in (?:the|all))\b`),
		advice: "write 'no longer'",
		bad:    "What is judged no more is not out.",
		plain:  "An upstream that is no longer judged has no ejected endpoints.",
	},
	{
		name: "hears", found: habit(`\b(?:hears?|heard|(?:told|tells?) of|(?:is|are|was|were|be|been) told)\b`), unless: habit(`^\w+ told apart\b`),
		advice: "programs receive, get, report or learn; write who calls whom",
		bad:    "Gates hear of a transition first.",
		plain:  "The gates get a transition first.",
	},
	{
		name: "takes-on", found: habit(`\b(?:takes?|taking|taken) on\b`), unless: habit(`^\w+ on (?:the|a|its) (?:port|address|way|connection|stream)`),
		advice: "say what the program does: applies, records, reads, notes",
		bad:    "note takes on that gates are in force.",
		plain:  "note records that gates are in force.",
	},
	{
		name: "archaic", found: habit(`\b(?:but for|is but|are but|lest|anew|hither|thence|whence|hence|thereof|whereof|wherein|therein|ere|of late|for want of|as ever|henceforth|in the hands of|(?:its|their) like)\b`),
		advice: "use the everyday word: except, only, again, so, recently",
		bad:    "All of them, but for the last one, are kept.",
		plain:  "All of them except the last one are kept.",
	},
}

// Passage is a stretch of prose.
type Passage struct {
	File  string
	Text  string
	Lines []int // the line of each byte of Text
	Cell  bool  // it is a heading or the cell of a table, and may be no sentence
}

// Finding is a bad habit in a passage.
type Finding struct {
	Line int    // from Lines
	Rule string // the name of the rule
	Text string // the words, and how to say it plainly
}

var (
	// quoted matches code (a function's name too, before "returns"), quotations and targets of links, which are only mentioned.
	quoted = regexp.MustCompile("^[A-Z]\\w* returns|`[^`]*`|\"[^\"]*\"|\\]\\([^)]*\\)")
	// emphasis is Markdown's bold and italic.
	emphasis = strings.NewReplacer("*", " ", "_", " ")
	// sentenceEnd is between two sentences.
	sentenceEnd = regexp.MustCompile(`[.!?][)*]*\s+`)
)

// Check finds bad habits in one passage.
func (p *Passage) Check() []Finding {
	var fs []Finding
	text := quoted.ReplaceAllStringFunc(p.Text, func(s string) string { return strings.Repeat("x", len(s)) })
	text = emphasis.Replace(text)
	for start := 0; start < len(text); {
		end := len(text)
		if m := sentenceEnd.FindStringIndex(text[start:]); m != nil {
			end = start + m[1]
		}
		for start < end && text[start] == ' ' {
			start++
		}
		sentence := strings.TrimRight(text[start:end], " ")
		question := strings.HasSuffix(sentence, "?")
		for _, r := range rules {
			if r.opening && (p.Cell || question) {
				continue
			}
			for _, m := range r.found.FindAllStringIndex(sentence, -1) {
				if r.unless != nil && r.unless.MatchString(sentence[m[0]:]) {
					continue
				}
				said := strings.TrimLeft(sentence[m[0]:m[1]], ":; ")
				fs = append(fs, Finding{
					Line: p.Lines[start+m[1]-1], Rule: r.name,
					Text: fmt.Sprintf("%q: %s; instead of %q write %q", said, r.advice, r.bad, r.plain),
				})
			}
		}
		start = end
	}
	return fs
}
