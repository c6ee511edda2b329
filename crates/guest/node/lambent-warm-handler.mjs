// The handler of the warm-up; see lambent-warm.cjs.
export const handler = async event => event;
