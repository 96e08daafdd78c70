"""Check pages for accessibility: axe-core, and the contrast of the borders of fields."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

_AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
#: The page's policy blocks the inline styles that axe adds temporarily.
AXE_STYLES = "Applying inline style violates"
#: Waits until a change of the theme or of the size is painted, and ends the fading of colours.
_PAINTED = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  await frame();
  for (const each of document.getAnimations()) {
    if (each.effect.getComputedTiming().endTime !== Infinity) each.finish();
  }
  await frame();
}"""
#: Rules that depend on the theme.
_COLOURS = "{resultTypes: ['violations'], runOnly: ['color-contrast', 'link-in-text-block']}"
#: Returns the fields whose border has a contrast below 3:1 to the page around them (WCAG 1.4.11).
_BORDERS = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = numbers(colour).map((each) => each / 255)
      .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const others = ["hidden", "submit", "checkbox", "radio"];
  const fields = [...document.querySelectorAll("input, select, textarea")]
    .filter((each) => each.checkVisibility() && !others.includes(each.type));
  return fields.map((each) => {
    const pair = [getComputedStyle(each).borderTopColor, ground(each.parentElement)].map(luminance);
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    return ratio < 3 ? `border of ${each.name || each.id}: ${ratio.toFixed(2)}:1` : "";
  }).filter(Boolean);
}"""


def violations(
    page: Page, options: str = "{resultTypes: ['violations']}", within: str = "html"
) -> list[str]:
    """Return the violations that axe-core finds on the page, or within a part of it."""
    if not page.evaluate("'axe' in window"):
        # In Playwright's own context: the page's policy allows no external scripts.
        page.evaluate(_AXE)
    found = page.evaluate(f"axe.run('{within}', {options})")
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def violations_in_every_face(page: Page, within: str = "html") -> list[str]:
    """Return what is wrong with the page in light, in dark and on a phone, with its address."""
    size = page.viewport_size
    assert size is not None
    found = [("light", each) for each in violations(page, within=within) + page.evaluate(_BORDERS)]
    page.emulate_media(color_scheme="dark")
    page.evaluate(_PAINTED)
    dark = violations(page, _COLOURS, within) + page.evaluate(_BORDERS)
    found += [("dark", each) for each in dark]
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate(_PAINTED)
    found += [("phone", each) for each in violations(page, within=within)]
    width = page.evaluate("document.documentElement.scrollWidth")
    if width > 390:
        found.append(("phone", f"the page is {width} px wide"))
    page.set_viewport_size(size)
    page.evaluate(_PAINTED)
    return [f"{page.url} {face}: {each}" for face, each in found]
