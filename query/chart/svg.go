package chart

import (
	"fmt"
	"strings"
)

// style has the page's colours; a file has to bring its own.
const style = `<style>
text{font:13px system-ui,"DejaVu Sans",sans-serif;fill:#1b2430}.title{font-size:18px;font-weight:600}.dim{fill:#566170;font-size:12px}.num{text-anchor:end}.mid{text-anchor:middle}
.ground{fill:#fff}.grid{stroke:#d9dee5;fill:none}.area{fill:#2f7fc1;opacity:.18}.line{fill:none;stroke:#2f7fc1;stroke-width:2}.dash{fill:none;stroke:#8a5300;stroke-width:2;stroke-dasharray:6 4}
.left{fill:#2f7fc1}.end{fill:url(#end)}.open{fill:#1b7f4d}.goeson{stroke:#1b2430;fill:none}
@media (prefers-color-scheme:dark){text{fill:#e7ebf0}.dim{fill:#a3aebb}.ground{fill:#1a2029}.grid{stroke:#313a46}.goeson{stroke:#e7ebf0}.dash{stroke:#f1b963}}
</style>
<defs><pattern id="end" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="8" height="8" fill="#c9bbe6"/><rect width="5" height="8" fill="#7a5bb5"/></pattern></defs>
`

// begin writes a file's head: what it is, in words too, and its ground.
func begin(b *strings.Builder, height int, title, description string) {
	fmt.Fprintf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"t d\">\n", width, height, width, height)
	fmt.Fprintf(b, "<title id=\"t\">%s</title>\n<desc id=\"d\">%s</desc>\n%s", label(title, 200), label(description, 500), style)
	fmt.Fprintf(b, "<rect class=\"ground\" width=\"%d\" height=\"%d\"/>\n", width, height)
}
