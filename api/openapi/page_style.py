"""How the page of `/docs` looks, in light and in dark."""

from __future__ import annotations

STYLE = """\
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--get:#0a6;--post:#06c;--delete:#c33}
body{margin:0;font:16px/1.5 system-ui,sans-serif;display:grid;grid-template-columns:17rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow:auto;border-right:1px solid var(--line);font-size:.85rem}
nav ul{list-style:none;margin:0;padding:.4rem 0 .4rem 1rem}
nav a{text-decoration:none;color:inherit}
nav a:hover,nav a:focus{text-decoration:underline}
main{padding:1rem 2rem 4rem;max-width:70rem}
details{border:1px solid var(--line);border-radius:.4rem;margin:.5rem 0;padding:.4rem .8rem}
details:has(:target){outline:2px solid var(--post)}
div:target{scroll-margin-top:3.5rem}
summary{cursor:pointer}
summary b{display:inline-block;min-width:4rem}
.get,.head{color:var(--get)}.post{color:var(--post)}.delete{color:var(--delete)}
code,pre{font:0.9em/1.45 ui-monospace,monospace}
pre{background:var(--soft);padding:.7rem;border-radius:.4rem;overflow:auto}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line)}
h4{margin:.8rem 0 .2rem}
abbr{color:var(--delete);text-decoration:none}
small{opacity:.75}
@media(max-width:50rem){body{display:block}nav{position:static;height:auto;border:0}main{padding:0 1rem 3rem}}
"""
