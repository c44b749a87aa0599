import { describe, expect, it } from 'vitest';
import { matcherText, matches, parseMatcher, parseMatchers, seriesText, textFilter } from './labels';

describe('series', () => {
  it('are printed as PromQL', () => {
    expect(seriesText({ __name__: 'up', job: 'a"b' })).toBe('up{job="a\\"b"}');
    expect(seriesText({ __name__: 'up' })).toBe('up');
    expect(seriesText({ __name__: 'with space', 'a.b': 'c' })).toBe('{"with space", "a.b"="c"}');
    expect(seriesText({})).toBe('{}');
  });
});

describe('matchers', () => {
  it.each([
    ['a="b"', { name: 'a', value: 'b', isEqual: true, isRegex: false }],
    ['a != b', { name: 'a', value: 'b', isEqual: false, isRegex: false }],
    ['a=~"b|c"', { name: 'a', value: 'b|c', isEqual: true, isRegex: true }],
    ['"x y"!~".+"', { name: 'x y', value: '.+', isEqual: false, isRegex: true }],
    ['a="q\\"\\\\"', { name: 'a', value: 'q"\\', isEqual: true, isRegex: false }],
  ])('%s', (text, matcher) => {
    expect(parseMatcher(text)).toEqual(matcher);
    expect(parseMatcher(matcherText(matcher))).toEqual(matcher);
  });
  it('come in lists', () => {
    expect(parseMatchers('{a="1,2", b="}"}')?.map(matcherText)).toEqual(['a="1,2"', 'b="}"']);
    expect(parseMatchers('')).toEqual([]);
    expect(parseMatchers('nonsense')).toBeNull();
  });
  it('match as the server does', () => {
    const re = { name: 'a', value: 'b.*', isEqual: true, isRegex: true };
    expect(matches(re, { a: 'bcd' })).toBe(true);
    expect(matches(re, { a: 'abc' })).toBe(false);
    expect(matches({ ...re, value: '', isRegex: false }, {})).toBe(true);
  });
});

it('filters by words and matchers', () => {
  const passes = textFilter('node job="x"');
  expect(passes('some node', { job: 'x' })).toBe(true);
  expect(passes('some node', { job: 'y' })).toBe(false);
});
