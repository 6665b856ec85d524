package e2e

import (
	"regexp"
	"slices"
	"strings"
)

var (
	hereDocument = regexp.MustCompile(`<<-?\s*['"]?(\w+)['"]?`)
	substitution = regexp.MustCompile(`\$\(([^()]*)\)`)
	shellToken   = regexp.MustCompile(`'[^']*'|"[^"]*"|&>|\d?>&?\d?|<|&&|\|\||[;|&\n()]|[^\s;|&()<>'"]+`)
	assignment   = regexp.MustCompile(`^[A-Za-z_]\w*=`)
	comment      = regexp.MustCompile(`(?m)(^|\s)#.*$`)
	keywords     = []string{"do", "then", "else", "if", "while", "until", "!", "exec", "time"}
)

// shellLines returns the commands of a script. It joins lines that end with \, and here-documents.
func shellLines(script string) []string {
	var commands []string
	end, open := "", false // the word that ends the here-document; the line before ends with \
	for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
		if end != "" || open {
			commands[len(commands)-1] += "\n" + line
		} else {
			commands = append(commands, line)
		}
		if m := hereDocument.FindStringSubmatch(line); m != nil && end == "" {
			end = m[1]
		} else if strings.TrimSpace(line) == end {
			end = ""
		}
		open = end == "" && strings.HasSuffix(line, `\`)
	}
	return slices.DeleteFunc(commands, func(c string) bool { return strings.TrimSpace(c) == "" || strings.HasPrefix(c, "#") })
}

// simpleCommands returns the words of each simple command of a script, without keywords, assignments and redirections. It
// understands the part of the shell's language that the documentation uses.
func simpleCommands(script string) [][]string {
	var all [][]string
	for _, c := range shellLines(script) {
		if m := hereDocument.FindStringIndex(c); m != nil {
			first, _, _ := strings.Cut(c[m[1]:], "\n")
			c = c[:m[0]] + first
		}
		c = strings.ReplaceAll(c, "\\\n", " ")
		for {
			m := substitution.FindStringSubmatchIndex(c)
			if m == nil {
				break
			}
			all = append(all, split(c[m[2]:m[3]])...)
			c = c[:m[0]] + "SUBSTITUTED" + c[m[1]:]
		}
		all = append(all, split(c)...)
	}
	return all
}

// split returns the simple commands of a line.
func split(line string) [][]string {
	var all [][]string
	var words []string
	redirected := false
	end := func() {
		if len(words) > 0 {
			all = append(all, words)
		}
		words = nil
	}
	for _, token := range shellToken.FindAllString(comment.ReplaceAllString(line, ""), -1) {
		switch {
		case strings.ContainsAny(token[:1], ";|&\n()") && token != "&>":
			end()
		case strings.ContainsAny(token, "<>") && !strings.ContainsAny(token[:1], `'"`):
			redirected = !strings.Contains(token, ">&")
		case redirected:
			redirected = false
		case len(words) == 0 && (slices.Contains(keywords, token) || assignment.MatchString(token)):
		default:
			words = append(words, strings.Trim(token, `'"`))
		}
	}
	end()
	return slices.DeleteFunc(all, func(words []string) bool { return words[0] == "SUBSTITUTED" })
}
