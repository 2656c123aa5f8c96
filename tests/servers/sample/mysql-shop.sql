-- A small shop that holds what dump tools have damaged before. Loads into MariaDB 10.11 and MySQL 9 alike.
-- The accounts named by the DEFINER clauses exist on the source (see accounts in sample/mysql.rs) and, as in
-- every migration, not on the target.
SET NAMES utf8mb4;
SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', foreign_key_checks = 0;

CREATE TABLE digits (d int NOT NULL PRIMARY KEY) ENGINE=InnoDB;
INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
CREATE TABLE numbers (n int NOT NULL PRIMARY KEY) ENGINE=InnoDB;
INSERT INTO numbers SELECT a.d + 10*b.d + 100*c.d + 1000*e.d + 10000*f.d
  FROM digits a, digits b, digits c, digits e, digits f;

CREATE TABLE customers (
  id int unsigned NOT NULL AUTO_INCREMENT,
  email varchar(190) NOT NULL,
  name varchar(120) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL COMMENT 'it''s `quoted`, "twice"; DEFINER=`root`@`localhost`',
  name_latin1 varchar(120) CHARACTER SET latin1 COLLATE latin1_german2_ci DEFAULT NULL,
  name_cp1251 varchar(120) CHARACTER SET cp1251 DEFAULT NULL,
  name_utf16 varchar(60) CHARACTER SET utf16 DEFAULT NULL,
  name_sjis varchar(60) CHARACTER SET sjis DEFAULT NULL,
  kind enum('private','business','Übersee','it''s') NOT NULL DEFAULT 'private',
  flags set('newsletter','vip','a b') DEFAULT NULL,
  balance decimal(20,6) NOT NULL DEFAULT '0.000000',
  score float DEFAULT NULL,
  ratio double DEFAULT NULL,
  bits bit(13) DEFAULT NULL,
  born date DEFAULT '0000-00-00',
  joined timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  seen datetime(6) DEFAULT NULL,
  took time(3) DEFAULT NULL,
  secret varbinary(64) INVISIBLE DEFAULT NULL,
  settings json DEFAULT NULL,
  email_domain varchar(190) GENERATED ALWAYS AS (substring_index(email, '@', -1)) VIRTUAL,
  search_key varchar(330) GENERATED ALWAYS AS (concat(email, '\\', kind)) STORED,
  favourite_order bigint unsigned DEFAULT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY email (email),
  KEY `a key with a space` (name(20), born),
  KEY domain (email_domain),
  CONSTRAINT customers_order FOREIGN KEY (favourite_order) REFERENCES orders (id) ON DELETE SET NULL
) ENGINE=InnoDB AUTO_INCREMENT=1000 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='back\\slash, ''quote'', `tick`; */ and -- ';

CREATE TABLE orders (
  id bigint unsigned NOT NULL AUTO_INCREMENT,
  customer_id int unsigned NOT NULL,
  state enum('new','paid','sent','returned') NOT NULL DEFAULT 'new',
  ordered datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
  total decimal(12,2) DEFAULT NULL,
  note text,
  PRIMARY KEY (id),
  KEY customer (customer_id),
  CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers (id) ON UPDATE CASCADE,
  CONSTRAINT total_not_negative CHECK (total >= 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

CREATE TABLE items (
  order_id bigint unsigned NOT NULL,
  line smallint NOT NULL,
  sku char(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  quantity tinyint unsigned NOT NULL,
  price decimal(10,2) NOT NULL,
  PRIMARY KEY (order_id, line),
  KEY sku (sku DESC),
  CONSTRAINT items_order FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

-- No key at all, and equal rows.
CREATE TABLE log_lines (
  happened datetime(3) DEFAULT NULL,
  level varchar(10) DEFAULT NULL,
  line mediumtext
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

CREATE TABLE visits (
  id bigint NOT NULL,
  visited date NOT NULL,
  path varchar(300) DEFAULT NULL,
  PRIMARY KEY (id, visited)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci
PARTITION BY RANGE COLUMNS (visited)
(PARTITION p2024 VALUES LESS THAN ('2025-01-01'),
 PARTITION p2025 VALUES LESS THAN ('2026-01-01'),
 PARTITION later VALUES LESS THAN (MAXVALUE));

CREATE TABLE files (
  id int NOT NULL AUTO_INCREMENT,
  name varchar(255) NOT NULL,
  content longblob,
  small tinyblob,
  fixed binary(16) DEFAULT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

CREATE TABLE places (
  id int NOT NULL,
  location point NOT NULL,
  shape geometry DEFAULT NULL,
  PRIMARY KEY (id),
  SPATIAL KEY location (location)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

CREATE TABLE articles (
  id int NOT NULL AUTO_INCREMENT,
  title varchar(200) NOT NULL,
  body longtext,
  PRIMARY KEY (id),
  FULLTEXT KEY words (title, body)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

CREATE TABLE empty_table (id int NOT NULL PRIMARY KEY) ENGINE=InnoDB;

CREATE TABLE `odd ``name``; -- */ "x"` (
  `order` int NOT NULL,
  `a``b` varchar(20) DEFAULT 'x''y\\z',
  `ü 日本` int DEFAULT NULL,
  `DEFINER=``root``@``localhost``` varchar(30) DEFAULT NULL,
  PRIMARY KEY (`order`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

-- Rows. The user variable @customers is set by the loader.
INSERT INTO customers (email, name, name_latin1, name_cp1251, name_utf16, name_sjis, kind, flags, balance, score, ratio, bits, born, joined, seen, took, secret, settings)
SELECT concat('user', n, '@', elt(1 + n % 3, 'example.org', 'beispiel.example', 'пример.example')),
       concat(elt(1 + n % 5, 'Ada', 'Grace', 'Zoë', '李明', '😀 Emoji 𝔘'), ' ', substr(sha2(n, 256), 1, 8)),
       concat('Müller-', n), concat('Привет ', n), concat('𝔘', n), concat('テスト', n),
       1 + n % 4, n % 8, (n * 7919 % 1000003) * 0.123456 - 1000, (n % 1000) / 4, n / 3e5, n % 8192,
       IF(n % 11 = 0, '0000-00-00', IF(n % 13 = 0, '2024-00-15', '1970-01-01' + INTERVAL n % 15000 DAY)),
       FROM_UNIXTIME(1000000000 + n * 1009), '2024-01-01' + INTERVAL n * 1000003 MICROSECOND,
       SEC_TO_TIME(n % 100000 - 50000), IF(n % 4, left(unhex(sha2(n, 256)), 16), NULL),
       json_object('n', n, 'list', json_array(1, NULL, 2.5), 'text', concat('"quoted" \\ \ttab 😀 ', n))
FROM numbers WHERE n BETWEEN 1 AND @customers ORDER BY n;

INSERT INTO orders (customer_id, state, ordered, total, note)
SELECT c.id, 1 + (c.id + d) % 4, '2024-01-01' + INTERVAL (c.id * 37 + d) % 1000 HOUR, (c.id * 31 + d) % 100000 / 100,
       elt(1 + (c.id + d) % 7, NULL, '', 'plain', 'two\nlines\r\nand a tab\t.', 'a \\ and ''quotes'' and "more" and `ticks`',
           'CREATE DEFINER=`root`@`localhost` VIEW v AS SELECT 1;', '/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */ -- # DELIMITER ;;')
FROM customers c, digits WHERE d < 4 ORDER BY c.id, d;
INSERT INTO items SELECT o.id, d, concat('SKU-', lpad(o.id * 7 % 99999 + d, 6, '0')), 1 + (o.id + d) % 9, (o.id + d) % 5000 / 100
FROM orders o, digits WHERE d <= o.id % 4 ORDER BY o.id, d;
UPDATE customers SET favourite_order = (SELECT max(id) FROM orders WHERE customer_id = customers.id), joined = joined WHERE id % 3 = 0;
UPDATE orders SET ordered = '0000-00-00 00:00:00' WHERE id % 17 = 0;

INSERT INTO log_lines SELECT '2024-05-05 05:05:05.678', elt(1 + n % 3, 'INFO', 'WARN', NULL), concat('line ', n % 50, ' 100% \\n not a newline')
FROM numbers WHERE n < @customers;
INSERT INTO visits SELECT n, '2024-01-01' + INTERVAL n % 900 DAY, concat('/p/', n, '?q=%27;--') FROM numbers WHERE n < @customers;

INSERT INTO files (name, content, small, fixed) VALUES
 ('empty', '', '', ''), ('null', NULL, NULL, NULL),
 ('looks like a clause', _binary 'DEFINER=`root`@`localhost` in a blob', _binary '*/', _binary 'DEFINER=`a`@`b`'),
 ('quotes', _binary '\0\'\"\\\n\r\Z`', 0x5C, 0x27);
SET @bytes = '';
INSERT INTO files (name, content) SELECT 'every byte', unhex(group_concat(lpad(hex(n), 2, '0') ORDER BY n SEPARATOR '')) FROM numbers WHERE n < 256;
INSERT INTO files (name, content, small, fixed) SELECT concat('one byte ', n), unhex(lpad(hex(n), 2, '0')), unhex(concat(lpad(hex(n), 2, '0'), '5C27')), left(unhex(sha2(n, 256)), 16)
FROM numbers WHERE n < 256;
INSERT INTO files (name, content) SELECT 'a megabyte of all bytes', repeat(content, 4096) FROM files WHERE name = 'every byte';

INSERT INTO places SELECT n, ST_GeomFromText(concat('POINT(', n / 7, ' ', -n / 3, ')')),
  IF(n % 2, ST_GeomFromText('POLYGON((0 0,10 0,10 10,0 10,0 0),(2 2,4 2,4 4,2 4,2 2))'), NULL) FROM numbers WHERE n < 200;
INSERT INTO articles (title, body) SELECT concat('Article ', n), repeat(concat('word', n, ' '), 50) FROM numbers WHERE n < 100;
INSERT INTO `odd ``name``; -- */ "x"` VALUES (1, DEFAULT, 1, 'DEFINER=`a`@`b`'), (2, '', NULL, NULL), (3, '/*!40101 SET x=1 */', -1, ';');

-- Views: nested, over each other against alphabetical order, with several kinds of definers.
CREATE DEFINER=`shop app`@`10.0.%` SQL SECURITY DEFINER VIEW z_paid AS SELECT * FROM orders WHERE state = 'paid';
CREATE ALGORITHM=MERGE DEFINER=`weird``user`@`localhost` SQL SECURITY INVOKER VIEW a_paid_totals AS
  SELECT c.name AS name, sum(p.total) AS `sum of DEFINER=``x``@``y``` FROM z_paid p JOIN customers c ON c.id = p.customer_id GROUP BY c.id, c.name;
CREATE ALGORITHM=TEMPTABLE DEFINER=`it's`@`%` VIEW m_top AS SELECT * FROM a_paid_totals ORDER BY name DESC LIMIT 10;
CREATE DEFINER=`a */ b`@`%` VIEW checked AS SELECT id, email, kind FROM customers WHERE kind <> 'private' WITH CASCADED CHECK OPTION;
CREATE DEFINER=`root`@`localhost` VIEW `odd ``view```(`a b`, `c`) AS SELECT `order`, '-- */ '' \\' FROM `odd ``name``; -- */ "x"`;
CREATE DEFINER=`admin@corp`@`db-1.example.org` VIEW with_strings AS SELECT 'DEFINER=`root`@`localhost`' AS txt, "it's" AS other, '\\' AS back;

-- Programs.
CREATE TABLE audit (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, what varchar(500), who varchar(200)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
DELIMITER ;;
CREATE DEFINER=`shop app`@`10.0.%` TRIGGER z_first BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = ifnull(NEW.note, '');;
CREATE DEFINER=`weird``user`@`localhost` TRIGGER a_second BEFORE INSERT ON orders FOR EACH ROW FOLLOWS z_first
BEGIN
  -- a comment with DEFINER=`root`@`localhost` and a quote '
  IF NEW.total < 0 THEN SET NEW.total = 0; END IF; /* and ; here */
END;;
CREATE DEFINER=`it's`@`%` TRIGGER order_gone AFTER DELETE ON orders FOR EACH ROW
  INSERT INTO audit (what, who) VALUES (concat('deleted by DEFINER=`x`@`y` ', OLD.id, '\\'), current_user());;
CREATE DEFINER=`a */ b`@`%` PROCEDURE close_orders(IN older int, INOUT changed int)
    COMMENT 'closes; ''orders'' DEFINER=`root`@`localhost`'
BEGIN
  DECLARE sqltext varchar(200) DEFAULT 'CREATE DEFINER=`root`@`localhost` VIEW v AS SELECT 1';
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET changed = 0;
  UPDATE orders SET state = 'sent' WHERE ordered < now() - INTERVAL older DAY AND state = 'paid';
  SET changed = row_count();
END;;
CREATE DEFINER=`root`@`localhost` PROCEDURE `odd ``proc```() SQL SECURITY INVOKER READS SQL DATA SELECT ';;' AS x;;
CREATE DEFINER=`admin@corp`@`db-1.example.org` FUNCTION full_price(p decimal(10,2), q int) RETURNS decimal(12,2) DETERMINISTIC
RETURN p * q;;
CREATE DEFINER=`shop app`@`10.0.%` FUNCTION greeting(n varchar(50) CHARACTER SET latin1) RETURNS varchar(100) CHARSET utf8mb4
    DETERMINISTIC SQL SECURITY INVOKER
BEGIN
  RETURN concat('Grüß Gott 😀, ', n, ' /* no comment */ # -- ');
END;;
CREATE DEFINER=`shop app`@`10.0.%` EVENT purge_log ON SCHEDULE EVERY 1 DAY STARTS '2024-01-01 03:00:00' ON COMPLETION PRESERVE ENABLE
  COMMENT 'nightly; it''s' DO BEGIN DELETE FROM log_lines WHERE happened < now() - INTERVAL 1 YEAR; END;;
CREATE DEFINER=`weird``user`@`localhost` EVENT once_only ON SCHEDULE AT '2037-12-31 23:59:59' ON COMPLETION PRESERVE DISABLE DO INSERT INTO audit (what) VALUES ('DEFINER=`root`@`localhost`');;
SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';;
CREATE DEFINER="ansi ""user"""@"%" PROCEDURE "ansi proc"() SELECT 'a\' AS "x", "order" FROM "odd `name`; -- */ ""x""";;
SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION';;
DELIMITER ;
DROP TABLE numbers, digits;
