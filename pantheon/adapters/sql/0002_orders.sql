-- An operator's orders: only ever added. With neither batch nor task an order is about its whole night.
CREATE TABLE orders (
    seq    INTEGER PRIMARY KEY,
    at     TEXT NOT NULL,
    verb   TEXT NOT NULL,
    night  TEXT NOT NULL,
    batch  TEXT NOT NULL,
    task   TEXT NOT NULL,
    reason TEXT NOT NULL,
    "by"   TEXT NOT NULL
) STRICT;
CREATE INDEX orders_of_night ON orders (night);
