package sandbox

import (
	"fmt"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// command is a management command that is being read, word by word.
type command struct {
	text  string
	words []word // those that are still to come
}

// word is a bare word, a quoted name or string without its quotes, or one of the marks ( ) , =
type word struct {
	text   string
	quoted bool
}

// parseCommand splits a command into words.
func parseCommand(text string) (*command, error) {
	c := &command{text: strings.Join(strings.Fields(strings.TrimRight(text, "; \t\r\n")), " ")}
	for rest := c.text; rest != ""; {
		switch i := strings.IndexAny(rest, " (),=['\""); {
		case i < 0:
			c.words, rest = append(c.words, word{text: rest}), ""
		case i > 0:
			c.words, rest = append(c.words, word{text: rest[:i]}), rest[i:]
		case rest[0] == ' ':
			rest = rest[1:]
		case rest[0] != '[' && rest[0] != '"' && rest[0] != '\'':
			c.words, rest = append(c.words, word{text: rest[:1]}), rest[1:]
		default:
			name, tail, ok := quotedName(rest)
			if !ok {
				return nil, SyntaxError(fmt.Sprintf("a quote or bracket does not end in the command %.60q", c.text))
			}
			c.words, rest = append(c.words, word{name, true}), tail
		}
	}
	return c, nil
}

// quotedName reads 'name', "name", ['name'] or ["name"] at the beginning of text.
func quotedName(text string) (name, tail string, ok bool) {
	body, bracket := strings.CutPrefix(text, "[")
	if body == "" || body[0] != '"' && body[0] != '\'' {
		return "", "", false
	}
	name, tail, ok = strings.Cut(body[1:], body[:1])
	if ok && bracket {
		tail, ok = strings.CutPrefix(tail, "]")
	}
	return name, tail, ok
}

// take moves past words, in any case, when they come next.
func (c *command) take(words ...string) bool {
	if len(c.words) < len(words) {
		return false
	}
	for i, w := range words {
		if c.words[i].quoted || !strings.EqualFold(c.words[i].text, w) {
			return false
		}
	}
	c.words = c.words[len(words):]
	return true
}

// end reports that nothing comes any more.
func (c *command) end() bool { return len(c.words) == 0 }

// name takes a name; it is empty when none comes.
func (c *command) name() string {
	if c.end() || !c.words[0].quoted && strings.Contains("(),=", c.words[0].text) {
		return ""
	}
	n := c.words[0].text
	c.words = c.words[1:]
	return n
}

// names takes `(a, b)`; ok is false when what comes is something else.
func (c *command) names() (names []string, ok bool) {
	if !c.take("(") {
		return nil, false
	}
	for {
		n := c.name()
		if n == "" {
			return nil, false
		}
		names = append(names, n)
		if c.take(")") {
			return names, true
		}
		if !c.take(",") {
			return nil, false
		}
	}
}

// command answers a management command. Of Kusto's several hundred it knows the few that clients use to
// find out what is there.
func (s *Server) command(req *Request) (*table.Table, error) {
	if !isCommand(req.Query) {
		return nil, BadRequest("a management command must begin with a dot")
	}
	c, err := parseCommand(req.Query)
	if err != nil {
		return nil, err
	}
	unknown := NotSupported(fmt.Sprintf("management command %.60q", c.text))
	if !c.take(".show") {
		if req.Options.ReadOnly {
			return nil, BadRequest(fmt.Sprintf(`management command %.60q cannot run with request option "request_readonly"`, c.text))
		}
		return nil, unknown
	}
	show := &show{s.cfg.Catalog, req}
	run, err := show.parse(c)
	switch {
	case err != nil:
		return nil, err
	case run == nil || !c.end():
		return nil, unknown
	}
	return run()
}
