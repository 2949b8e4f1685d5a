/** Payloads in documents: what goes in comes out, byte by byte, in a form that JSON can hold. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { payloadFields, payloadOf } from '#common/contract/command-payload.ts';

test('any bytes come back as they were', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (array) => {
      const bytes = Buffer.from(array);
      const fields = JSON.parse(JSON.stringify(payloadFields(bytes, 'application/octet-stream')));
      expect(payloadOf(fields).bytes).toEqual(bytes);
    }),
  );
});

test('any JSON value but a text arrives as JSON, and comes back as the value', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      fc.pre(typeof value !== 'string');
      const { bytes, contentType } = payloadOf({ payload: value });
      expect(contentType).toBe('application/json');
      expect(payloadFields(bytes, contentType)).toEqual({ payload: JSON.parse(JSON.stringify(value)) });
    }),
  );
});

test.each([
  ['application/json', '{"a":1}', { payload: { a: 1 } }],
  ['application/cloudevents+json; charset=utf-8', '[1]', { payload: [1] }],
  ['application/json', '{broken', { payload: '{broken' }],
  ['text/plain', '{"a":1}', { payload: '{"a":1}' }],
  ['', '', { payload: '' }],
])('%s: %s', (contentType, text, fields) => {
  expect(payloadFields(Buffer.from(text), contentType)).toEqual(fields);
});

test.each(['*', 'a', 'AA=A', 'AA AA', 'A-_A'])('%s is no base64', (payloadBase64) => {
  expect(() => payloadOf({ payloadBase64 })).toThrow('not base64');
});
