/** The paths of EST: what each is for, and what is none. */
import { describe, expect, test } from 'vitest';
import { estTargetOf, isEstPath } from '#common/contract/est-path.ts';
import type { FaultKind } from '#common/fault.ts';

const refused = (kind: FaultKind) => expect.objectContaining({ kind });

describe('the paths of EST', () => {
  test.each([
    ['GET', '/.well-known/est/cacerts', { operation: 'cacerts', label: null }],
    ['HEAD', '/.well-known/est/csrattrs', { operation: 'csrattrs', label: null }],
    ['POST', '/.well-known/est/plant/simpleenroll', { operation: 'simpleenroll', label: 'plant' }],
    ['POST', '/.well-known/est/simplereenroll', { operation: 'simplereenroll', label: null }],
    ['POST', '/.well-known/est/plant.2/serverkeygen', { operation: 'serverkeygen', label: 'plant.2' }],
  ])('%s %s', (method, path, target) => {
    expect(estTargetOf(method, path)).toEqual(target);
  });

  test.each([
    '/.well-known/est/',
    '/.well-known/est/fullcmc',
    '/.well-known/est/cacerts/',
    '/.well-known/est//cacerts',
    '/.well-known/est/a/b/cacerts',
    '/.well-known/est/%70lant/cacerts',
    '/.well-known/est/../cacerts',
    '/.well-known/est/constructor',
    '/.well-known/est/cacerts/simpleenroll',
    '/well-known/est/cacerts',
  ])('nothing is at %s', (path) => {
    expect(() => estTargetOf('GET', path)).toThrow(refused('not-found'));
  });

  test('a wrong method is told the right one', () => {
    expect(() => estTargetOf('GET', '/.well-known/est/simpleenroll')).toThrow(
      expect.objectContaining({ kind: 'method-not-allowed', fields: { allow: 'POST' } }),
    );
    expect(() => estTargetOf('POST', '/.well-known/est/cacerts')).toThrow(refused('method-not-allowed'));
  });

  test('only what is below the prefix is EST', () => {
    expect(isEstPath('/.well-known/est/x')).toBe(true);
    expect(['/.well-known/established', '/v1/me', '//.well-known/est/x'].some(isEstPath)).toBe(false);
  });
});
