// What each till has sold, and how much of it is of that of all tills: the state of a till
// and one that they share.
fromCategory("till").foreachStream().when({
  $init: () => ({ sold: 0 }),
  $initShared: () => ({ sold: 0, best: "", most: 0 }),
  Sold(s, event) {
    s[0].sold += event.data.amount;
    s[1].sold += event.data.amount;
    if (s[0].sold > s[1].most) {
      s[1].best = event.streamId;
      s[1].most = s[0].sold;
    }
  },
});
