// Colours of series: evenly spread hues, lightness by theme, so that neighbours differ and text is legible.

const HUES = [212, 24, 142, 330, 48, 268, 176, 4, 96, 300, 196, 62];

export function colourOf(index: number, dark: boolean): string {
  const hue = HUES[index % HUES.length]!;
  const round = Math.floor(index / HUES.length) % 3;
  const lightness = (dark ? 64 : 44) + (round === 1 ? 12 : round === 2 ? -10 : 0);
  return `hsl(${hue} ${dark ? 75 : 68}% ${lightness}%)`;
}

/** For a part of the largest count, 0 to 1. */
export function heat(part: number, dark: boolean): string {
  const p = Math.sqrt(Math.min(1, Math.max(0, part)));
  return dark ? `hsl(${48 - 30 * p} 90% ${16 + 50 * p}%)` : `hsl(${48 - 38 * p} 92% ${90 - 48 * p}%)`;
}
