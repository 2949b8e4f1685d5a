/** The secret in an Authorization header, Basic or Bearer. */
import { expect, test } from 'vitest';
import { secretOf } from '../../../../registry/est/authorization.ts';

const basic = (credentials: string) => `Basic ${Buffer.from(credentials).toString('base64')}`;

test.each([
  ['Basic, any user', basic('anybody:fge_secret'), 'fge_secret'],
  ['Basic, no user', basic(':fge_secret'), 'fge_secret'],
  ['Basic, colons in the password', basic('a:b:c'), 'b:c'],
  ['the scheme in any case', basic('a:b').replace('Basic', 'bAsIc'), 'b'],
  ['Bearer', 'Bearer fge_secret-1.2~3', 'fge_secret-1.2~3'],
])('a secret is read: %s', (_how, header, secret) => {
  expect(secretOf(header)).toBe(secret);
});

test.each([
  ['absent', null],
  ['empty', ''],
  ['Basic without a colon', basic('fge_secret')],
  ['Basic without a password', basic('fge_secret:')],
  ['Basic that is not base64', 'Basic a b'],
  ['another scheme', 'Digest username="a"'],
  ['Bearer alone', 'Bearer '],
  ['two at once', 'Bearer a, Bearer b'],
])('there is no secret in what is %s', (_what, header) => {
  expect(secretOf(header)).toBeUndefined();
});
